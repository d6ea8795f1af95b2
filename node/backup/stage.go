package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
)

// Stage creates a file for a snapshot where a cluster's backups lie. The file has no name, and is gone once it is
// closed unless it becomes a backup: so a killed run leaves nothing, and nothing is written twice. Stage fails without
// enough space, and on file systems without unnamed files, such as NFS.
func (d *Directory) Stage(cluster string, size int64) (*os.File, error) {
	if err := errors.Join(d.mustBeThere(), d.mustHaveSpace(size)); err != nil {
		return nil, err
	}
	dir, err := d.path(cluster)
	if err != nil {
		return nil, err
	}
	if err := d.makeDirs(dir); err != nil {
		return nil, err
	}
	return os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
}

// Draft is a file for a snapshot, without a name. Its calls end once they have made no progress for a time, and those
// after one that hung are refused.
type Draft struct {
	File *os.File

	bounds *deadline
	in     *Directory             // where it is to become a backup; nil: nowhere
	disk   *durable.Writer        // to File; nil: what is written need not come to the disk
	beat   atomic.Pointer[func()] // of the last call
}

// NewDraft returns a draft that is to become no backup itself, in a file that the draft closes.
func NewDraft(file *os.File, patience time.Duration) *Draft {
	return &Draft{File: file, bounds: &deadline{name: file.Name(), patience: patience}}
}

// Stage creates a draft as that of Directory does, within the bounds of the directory.
func (b *BoundedDirectory) Stage(cluster string, size int64) (*Draft, error) {
	file, err := boundedCall(&b.deadline, func(func()) (*os.File, error) { return b.directory.Stage(cluster, size) })
	return &Draft{File: file, bounds: &b.deadline, in: b.directory}, err
}

// Within runs do, which works on the file.
func (d *Draft) Within(do func(file *os.File) error) error {
	return d.call(func(func()) error { return do(d.File) })
}

func (d *Draft) call(do func(beat func()) error) error {
	_, err := boundedCall(d.bounds, func(beat func()) (struct{}, error) { return struct{}{}, do(beat) })
	return err
}

// Mapped runs do, which reads the file by way of memory that it is mapped into: a page that does not come shows in no
// call. do may last as long as works says, each time it is asked, that this process has worked since. A do that never
// ends goes on being watched until the process ends: a run whose storage hangs does so before long.
func (d *Draft) Mapped(works func() bool, do func(file *os.File) error) error {
	return d.call(func(beat func()) error {
		ended := make(chan struct{})
		defer close(ended)
		go func() {
			look := time.NewTicker(max(d.bounds.patience/watchSteps, 1))
			defer look.Stop()
			for {
				select {
				case <-ended:
					return
				case <-look.C:
					if works() {
						beat()
					}
				}
			}
		}()
		return do(d.File)
	})
}

// Hangs tells whether the draft's storage has failed to answer.
func (d *Draft) Hangs() bool { return d.bounds.hangs.Load() }

// Empty empties the draft to be written anew, and has reserve reserve what that takes.
func (d *Draft) Empty(reserve func(file *os.File) error) error {
	return d.call(func(func()) error {
		_, err := d.File.Seek(0, io.SeekStart)
		if err = errors.Join(err, d.File.Truncate(0)); err != nil {
			return err
		}
		if d.in != nil {
			d.disk = durable.NewWriter(d.File)
			d.disk.Synced = func() { (*d.beat.Load())() }
		}
		return reserve(d.File)
	})
}

// Write writes a copy, since a write that was given up may go on.
func (d *Draft) Write(p []byte) (n int, err error) {
	own := bytes.Clone(p)
	return boundedCall(d.bounds, func(beat func()) (int, error) {
		if d.disk == nil {
			return d.File.Write(own)
		}
		d.beat.Store(&beat)
		return d.disk.Write(own)
	})
}

// Complete ends the writing. A draft that is to become a backup is on disk then.
func (d *Draft) Complete() error {
	return d.call(func(beat func()) error {
		if d.disk == nil {
			return durable.Release(d.File)
		}
		d.beat.Store(&beat)
		return errors.Join(d.disk.Sync(), durable.Release(d.File), d.File.Sync())
	})
}

// Content returns a reader of so many bytes of the draft.
func (d *Draft) Content(size int64) io.Reader {
	return &boundedReader{d.bounds, io.NopCloser(io.NewSectionReader(d.File, 0, size))}
}

// Close closes the file, unless the file's storage hangs: it is closed with the process then.
func (d *Draft) Close() error {
	err := d.Within((*os.File).Close)
	if errors.Is(err, ErrStorageHangs) {
		return nil
	}
	return err
}

// store makes the draft the object of a key, if it has this content.
func (d *Draft) store(ctx context.Context, key string, size int64, sum string) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	err := d.call(func(tell func()) error {
		ctx := WithBeat(ctx, tell)
		all := beating{withContext(ctx, io.NewSectionReader(d.File, 0, math.MaxInt64)), func() { beat(ctx) }}
		if err := verify(all, "the snapshot", size, sum).drain(); err != nil {
			return err
		}
		return d.in.adopt(ctx, key, d.File)
	})
	giveUp(err)
	return err
}

// adopt gives a staged file, which is on disk already, the name of a key.
func (d *Directory) adopt(ctx context.Context, key string, staged *os.File) error {
	path, err := d.path(key)
	if err != nil {
		return err
	}
	// A link does not replace an existing name; a rename does.
	dir := filepath.Dir(path)
	next := filepath.Join(dir, partial+filepath.Base(path))
	if err := ignoreNotExist(os.Remove(next)); err != nil {
		return err
	}
	if err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", staged.Fd()), unix.AT_FDCWD, next, unix.AT_SYMLINK_FOLLOW); err != nil {
		return fmt.Errorf("name %s: %w", path, err)
	}
	return publish(ctx, next, path)
}
