package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

const (
	// orphanWait bounds the wait for a call that a killed run has left behind. Stopping a member, the longest
	// of those that every run makes, is ended by systemd after 60 s. A snapshot, a copy or a defragmentation of
	// many gigabytes may take longer: then the next run is told to come again.
	orphanWait = 3 * time.Minute
	// orphanPoll is how often such a call is looked for.
	orphanPoll = 50 * time.Millisecond
	// lateBeats is how often within the time of silence it is looked whether bytes arrive still.
	lateBeats = 10
	// runLock ends the name of the lock that a run holds, behind that of its cluster.
	runLock = ".run"
)

// Lock holds the cluster's lock until beats ends, or is silent for longer than silence. It is taken
// at once or not at all. taken is called once it is held and no call of an earlier run is left: what
// is observed from then on stays true.
func (m *Machine) Lock(ctx context.Context, cluster string, r api.LockRequest, beats io.Reader, silence time.Duration, taken func()) error {
	if r.Holder.ID == "" {
		return refuse("the lock of cluster %s wants a holder with an ID", cluster)
	}
	lock, err := m.openLock(cluster + runLock)
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
	var waiting sync.WaitGroup
	defer waiting.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	free := make(chan error, 1)
	waiting.Go(func() { free <- m.awaitCalls(ctx, cluster) })
	silent := time.NewTimer(silence)
	defer silent.Stop()
	for {
		select {
		case err := <-free:
			if err != nil {
				return err
			}
			_ = m.arrivals().Tidy(cluster) // a disk that lets nothing be removed is for this very run to mend
			taken()
		case <-beat:
			silent.Reset(silence)
		case <-ended:
			return nil
		case <-silent.C:
			if m.arrivesStill(cluster, silence) { // its heartbeats wait behind what it uploads
				silent.Reset(silence / lateBeats)
				continue
			}
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
	call, err := m.openLock(cluster + ".call")
	if err != nil {
		return err
	}
	defer call.Close()
	if err := call.wait(ctx); err != nil {
		return err
	}
	run, err := m.openLock(cluster + runLock)
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
	if holder == "" || run.holder().ID != holder { // a lock that was taken this moment has no record yet
		return busy(cluster, run)
	}
	return do()
}

// exclusively does what touches the share of all clusters on this host: the system user, who has which
// port and directory, the programs for operators. Calls for two clusters can be at work at a time.
func (m *Machine) exclusively(ctx context.Context, do func() error) error {
	machine, err := m.openLock("machine")
	if err != nil {
		return err
	}
	defer machine.Close()
	if err := machine.wait(ctx); err != nil {
		return err
	}
	return do()
}

// awaitCalls waits until no call that changes the host is under way.
func (m *Machine) awaitCalls(ctx context.Context, cluster string) error {
	call, err := m.openLock(cluster + ".call")
	if err != nil {
		return err
	}
	defer call.Close()
	return call.wait(ctx)
}

// isRunning tells whether a run holds the lock of a cluster.
func (m *Machine) isRunning(cluster string) (bool, error) {
	lock, err := m.openLock(cluster + runLock)
	if err != nil {
		return false, err
	}
	held, err := lock.held()
	return held, errors.Join(err, lock.Close())
}

// otherRuns says when the first of those runs began that hold the lock of another cluster on this host; false: none does. The zero
// time is that of one of which it is not known: it has no record yet, or the clock has been put back since.
func (m *Machine) otherRuns(cluster string) (began time.Time, found bool, err error) {
	entries, err := os.ReadDir(m.path(api.RunDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, false, err
	}
	for _, entry := range entries {
		if name, isRun := strings.CutSuffix(entry.Name(), runLock); !isRun || name == cluster {
			continue
		}
		lock, err := m.openLock(entry.Name())
		if err != nil {
			return time.Time{}, false, err
		}
		held, err := lock.held()
		since := lock.holder().Since
		if since.After(m.Now()) {
			since = time.Time{}
		}
		if err = errors.Join(err, lock.Close()); err != nil {
			return time.Time{}, false, err
		}
		if held && (!found || since.Before(began)) {
			began, found = since, true
		}
	}
	return began, found, nil
}

// busy is the error of whoever comes second.
func busy(cluster string, lock *lockFile) error {
	holder := lock.holder()
	return &api.Error{Code: api.CodeBusy, Holder: &holder,
		Message: fmt.Sprintf("cluster %s is locked by %s: wait until that run has ended, and apply again", cluster, holder)}
}
