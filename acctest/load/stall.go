package load

import (
	"context"
	"os"
	"sync"
	"time"
)

const (
	diskEvery = 100 * time.Millisecond
	// slowDisk is from when on a sync is a stall. Members that serve a load on this disk sync within less.
	slowDisk = 500 * time.Millisecond
)

// watchDisk syncs a small file over and over, and tells of the times in which that stalled.
func (i *instrument) watchDisk(ctx context.Context, watching *sync.WaitGroup) error {
	file, err := os.CreateTemp("", "etcd-load-")
	if err != nil {
		return err
	}
	watching.Go(func() {
		defer os.Remove(file.Name())
		defer file.Close()
		for ctx.Err() == nil {
			from := i.now()
			_, err := file.WriteAt([]byte{1}, 0)
			if err == nil {
				err = file.Sync()
			}
			if to := i.now(); err == nil && to-from > slowDisk {
				i.answers <- answer{Stall: &Stall{from, to}}
			}
			select {
			case <-ctx.Done():
			case <-time.After(diskEvery):
			}
		}
	})
	return nil
}
