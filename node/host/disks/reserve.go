package disks

import (
	"errors"
	"os"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// Reserve reserves this many bytes for a file that is about to be written. Others on the same file system, for example
// a backup beside a call, or a call for another cluster, find them taken when they look for room.
func Reserve(file *os.File, bytes int64) error {
	if err := durable.Reserve(file, bytes); err != nil {
		return api.Refuse("there is no room for the %d MiB that %s wants: another call or run has taken it meanwhile; free some space, or wait for its end", Mebibytes(bytes), file.Name())
	}
	return nil
}

// Reserved is space that is reserved for a directory, since the code that fills the directory reserves none.
type Reserved struct {
	file  *os.File // without a name
	bytes int64
	in    files.Tree
}

// Close frees what is still reserved.
func (r *Reserved) Close() error { return r.file.Close() }

// giveWayAhead is how many reserved bytes are freed before they are written.
const giveWayAhead = 64 << 20

// ReserveIn reserves this many bytes for a directory of the host.
func (d Disks) ReserveIn(dir string, bytes int64) (*Reserved, error) {
	file, err := d.Files.Nameless(dir)
	if err != nil {
		return nil, err
	}
	r := &Reserved{file, bytes, d.Files}
	if err = Reserve(file, bytes); err == nil {
		err = file.Truncate(bytes) // GiveWay frees it from its end
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

// GiveWay frees what is reserved while do fills a directory of the host.
func (r *Reserved) GiveWay(dir string, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		written, _, err := r.in.Size(dir)
		if err == nil { // else the directory is not there yet, or changes: the next look counts it
			// If this fails, do runs out of space, and says so.
			_ = r.file.Truncate(max(0, min(r.bytes, r.bytes-written-giveWayAhead)))
		}
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
	}
}
