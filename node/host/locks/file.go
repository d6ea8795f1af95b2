package locks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// file is a lock, which ends with the process that holds it. It is an open file description's
// own (F_OFD_SETLK), since that kind can be looked at without being taken.
type file struct{ *os.File }

// open opens the file of a lock, and does not take the lock.
func (h Host) open(name string) (*file, error) {
	if err := h.Files.EnsureDir(api.RunDir, files.RootUser, 0o700); err != nil {
		return nil, err
	}
	opened, err := os.OpenFile(h.Files.Path(filepath.Join(api.RunDir, name)), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &file{opened}, nil
}

func (l *file) control(command int) (kind int16, err error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err = unix.FcntlFlock(l.Fd(), command, &lock)
	return lock.Type, err
}

// try takes the lock, and returns false if another process has it.
func (l *file) try() (bool, error) {
	_, err := l.control(unix.F_OFD_SETLK)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", l.Name(), err)
	}
	return true, nil
}

// held returns whether another process has the lock.
func (l *file) held() (bool, error) {
	kind, err := l.control(unix.F_OFD_GETLK)
	if err != nil {
		return false, fmt.Errorf("look at lock %s: %w", l.Name(), err)
	}
	return kind != unix.F_UNLCK, nil
}

// wait takes the lock as soon as it is free, and gives up after orphanWait.
func (l *file) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, orphanWait)
	defer cancel()
	for {
		if got, err := l.try(); err != nil || got {
			return err
		}
		select {
		case <-time.After(orphanPoll):
		case <-ctx.Done():
			return &api.Error{Code: api.CodeBusy, Message: "a call of an earlier run is still at work on this host: wait until it has ended, and apply again; if it does not end, a disk may hang there (dmesg tells): restart the machine, or switch it off, and nobody waits for it"}
		}
	}
}

// record writes to the file of a lock who holds it.
func (l *file) record(holder api.Holder) error {
	text, err := json.Marshal(holder)
	if err != nil {
		return fmt.Errorf("encode the holder of %s: %w", l.Name(), err)
	}
	if err := l.Truncate(0); err != nil {
		return err
	}
	_, err = l.WriteAt(text, 0)
	return err
}

// holder returns who was recorded last. A lock that was taken this moment may have no record yet.
func (l *file) holder() api.Holder {
	var holder api.Holder
	text, err := io.ReadAll(io.NewSectionReader(l, 0, 1<<16))
	if err != nil || json.Unmarshal(text, &holder) != nil {
		return api.Holder{Who: "a run that has only just begun"}
	}
	return holder
}
