package disks

import (
	"errors"
	"os"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// Reserve sets so many bytes aside for a file that is written now. Others on the same file system, a run of the backup
// beside a call, say, or a call for another cluster, find them taken when they look for room.
func Reserve(file *os.File, bytes int64) error {
	if err := durable.Reserve(file, bytes); err != nil {
		return api.Refuse("there is no room for the %d MiB that %s wants: another call or run has taken it meanwhile; free some space, or wait for its end", Mebibytes(bytes), file.Name())
	}
	return nil
}

// Reserved is room for a directory that is filled by who sets nothing aside himself.
type Reserved struct {
	file  *os.File // without a name
	bytes int64
	in    files.Tree
}

// Close gives all of it back that has not been let go of yet.
func (r *Reserved) Close() error { return r.file.Close() }

// giveWayAhead is how much of what is set aside is let go before it is written.
const giveWayAhead = 64 << 20

// ReserveIn sets so many bytes aside, beside what is to lie in a directory of the host.
func (d Disks) ReserveIn(dir string, bytes int64) (*Reserved, error) {
	file, err := d.Files.Nameless(dir)
	if err != nil {
		return nil, err
	}
	r := &Reserved{file, bytes, d.Files}
	if err = Reserve(file, bytes); err == nil {
		err = file.Truncate(bytes) // it is let go of from its end
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

// GiveWay lets go of what is set aside as do fills a directory of the host with it.
func (r *Reserved) GiveWay(dir string, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		written, _, err := r.in.Size(dir)
		if err == nil { // else it is not there yet, or changes: the next look tells
			// What could not be let go of leaves do without room, which do says.
			_ = r.file.Truncate(max(0, min(r.bytes, r.bytes-written-giveWayAhead)))
		}
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
	}
}
