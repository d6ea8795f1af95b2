package host

import (
	"bufio"
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
)

// lockDir holds the locks. It is root's alone, so that nobody else can hold one, and gone after a
// boot, as every holder is.
const lockDir = "/run/etcd-store"

const (
	// orphanWait bounds the wait for a call that a killed run has left behind. The longest, stopping a
	// member, is ended by systemd after 60 s.
	orphanWait = 3 * time.Minute
	// orphanPoll is how often such a call is looked for.
	orphanPoll = 50 * time.Millisecond
)

// Lock holds the cluster's lock until beats ends, or is silent for longer than silence. It is taken
// at once or not at all. taken is called once it is held and no call of an earlier run is left: what
// is observed from then on stays true.
func (m *Machine) Lock(ctx context.Context, cluster string, r api.LockRequest, beats io.Reader, silence time.Duration, taken func()) error {
	lock, err := m.openLock(cluster, "run")
	if err != nil {
		return err
	}
	defer lock.Close()
	got, err := lock.try()
	if err != nil {
		return err
	}
	if !got {
		return busy(cluster, lock)
	}
	holder := r.Holder
	holder.Since = m.Now()
	if err := lock.record(holder); err != nil {
		return err
	}

	beat, ended := listen(beats)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	free := make(chan error, 1)
	go func() { free <- m.awaitCalls(ctx, cluster) }()
	silent := time.NewTimer(silence)
	defer silent.Stop()
	for {
		select {
		case err := <-free:
			if err != nil {
				return err
			}
			taken()
		case <-beat:
			silent.Reset(silence)
		case <-ended:
			return nil
		case <-silent.C:
			return fmt.Errorf("the lock of cluster %s was freed: its holder %s has been silent for %s", cluster, holder.Who, silence)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listen tells of every line that arrives, and of the end.
func listen(from io.Reader) (line <-chan struct{}, ended <-chan struct{}) {
	beat, end := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(end)
		for lines := bufio.NewScanner(from); lines.Scan(); {
			select {
			case beat <- struct{}{}:
			default: // one that nobody waits for has been counted by the one before
			}
		}
	}()
	return beat, end
}

// underLock runs a call that changes the host, alone, for the holder of the cluster's lock.
//
// The call before it may be one that a killed run has left behind, so it waits for its end. The
// holder is looked at after that wait: a call that waited longer than its own run lived must not act
// any more.
func (m *Machine) underLock(ctx context.Context, cluster, holder string, do func() error) error {
	call, err := m.openLock(cluster, "call")
	if err != nil {
		return err
	}
	defer call.Close()
	if err := call.wait(ctx); err != nil {
		return err
	}
	run, err := m.openLock(cluster, "run")
	if err != nil {
		return err
	}
	defer run.Close()
	held, err := run.held()
	if err != nil {
		return err
	}
	if !held {
		return refuse("the lock of cluster %s is not held on this host: the run that took it has ended or lost its connection; apply again", cluster)
	}
	if run.holder().ID != holder {
		return busy(cluster, run)
	}
	return do()
}

// awaitCalls waits until no call that changes the host is under way.
func (m *Machine) awaitCalls(ctx context.Context, cluster string) error {
	call, err := m.openLock(cluster, "call")
	if err != nil {
		return err
	}
	defer call.Close()
	return call.wait(ctx)
}

// busy is the error of whoever comes second.
func busy(cluster string, lock *lockFile) error {
	holder := lock.holder()
	return &api.Error{Code: api.CodeBusy, Holder: &holder,
		Message: fmt.Sprintf("cluster %s is locked by %s: wait until that run has ended, and apply again", cluster, holder)}
}

// lockFile is a lock, which ends with the process that holds it. It is an open file description's
// own (F_OFD_SETLK), since that kind can be looked at without being taken.
type lockFile struct{ *os.File }

// openLock opens one of a cluster's two locks: of the run, and of the call.
func (m *Machine) openLock(cluster, of string) (*lockFile, error) {
	if err := m.ensureDir(lockDir, root, 0o700); err != nil {
		return nil, err
	}
	path := m.path(filepath.Join(lockDir, cluster+"."+of))
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &lockFile{file}, nil
}

func (l *lockFile) control(command int) (kind int16, err error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err = unix.FcntlFlock(l.Fd(), command, &lock)
	return lock.Type, err
}

// try takes the lock; false: another has it.
func (l *lockFile) try() (bool, error) {
	_, err := l.control(unix.F_OFD_SETLK)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", l.Name(), err)
	}
	return true, nil
}

// held tells whether another has the lock.
func (l *lockFile) held() (bool, error) {
	kind, err := l.control(unix.F_OFD_GETLK)
	if err != nil {
		return false, fmt.Errorf("look at lock %s: %w", l.Name(), err)
	}
	return kind != unix.F_UNLCK, nil
}

// wait takes the lock as soon as it is free.
func (l *lockFile) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, orphanWait)
	defer cancel()
	for {
		if got, err := l.try(); err != nil || got {
			return err
		}
		select {
		case <-time.After(orphanPoll):
		case <-ctx.Done():
			return &api.Error{Code: api.CodeBusy, Message: "a call of an earlier run is still at work on this host: wait until it has ended, and apply again"}
		}
	}
}

// record writes down who holds the lock.
func (l *lockFile) record(holder api.Holder) error {
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

// holder is who recorded itself last. A lock that was taken this moment may have no record yet.
func (l *lockFile) holder() api.Holder {
	var holder api.Holder
	text, err := io.ReadAll(io.NewSectionReader(l, 0, 1<<16))
	if err != nil || json.Unmarshal(text, &holder) != nil {
		return api.Holder{Who: "a run that has only just begun"}
	}
	return holder
}
