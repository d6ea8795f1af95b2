// Package locks keeps runs of a cluster apart, and calls that change a host.
package locks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// Host has the locks of one host, which end with the processes that hold them.
type Host struct {
	Files files.Tree
	Now   func() time.Time
}

// Shared is the lock of what all clusters on this host share: the system user, who has which port and directory, the
// programs for operators. Calls for two clusters can be at work at a time.
const Shared = "machine"

// Progress is the lock of the record of how far a cluster's member has come.
func Progress(cluster string) string { return cluster + ".progress" }

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
	// callLock ends the name of the lock of calls that change the host.
	callLock = ".call"
	// lifeSign is how often it is written down that bytes arrive.
	lifeSign = time.Second
)

// Hold holds the cluster's lock until beats ends, or is silent for longer than silence. It takes the lock at once or
// not at all. Once no call of an earlier run is left, it runs cleanUp, as a call that changes the host, and then calls
// taken: what is observed from then on stays true.
//
// A holder that goes while cleanUp waits for a slow disk frees the lock at once. The next one waits for cleanUp's end.
func (h Host) Hold(ctx context.Context, cluster string, holder api.Holder, beats io.Reader, silence time.Duration, cleanUp, taken func()) error {
	if holder.ID == "" {
		return api.Refuse("the lock of cluster %s wants a holder with an ID", cluster)
	}
	var waiting sync.WaitGroup
	defer waiting.Wait()
	lock, err := h.open(cluster + runLock)
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
	holder.Since = h.Now()
	if err := lock.record(holder); err != nil {
		return err
	}

	attended, leave := h.Attended(ctx, cluster, beats, silence)
	defer leave()
	free := make(chan error, 1)
	waiting.Go(func() {
		free <- h.Alone(attended, cluster+callLock, func() error {
			if attended.Err() == nil {
				cleanUp()
			}
			return nil
		})
	})
	select {
	case err := <-free:
		switch {
		case attended.Err() != nil:
		case err != nil:
			return err
		default:
			taken()
		}
	case <-attended.Done():
	}
	<-attended.Done()
	switch why := context.Cause(attended); {
	case errors.Is(why, ErrHungUp):
		return nil
	case errors.Is(why, ErrSilent):
		return fmt.Errorf("the lock of cluster %s was freed: its holder %s has been silent for %s", cluster, holder.Who, silence)
	}
	return ctx.Err()
}

// Under runs a call that changes the host, alone, for the holder of the cluster's lock.
//
// The call before it may be one that a killed run has left behind, so Under waits for its end. It looks at the holder
// after that wait: a call that waited longer than its own run lived must not act any more.
func (h Host) Under(ctx context.Context, cluster, holder string, do func() error) error {
	return h.asCall(ctx, cluster, func(run *file, held bool) error {
		if !held {
			return api.Refuse("the lock of cluster %s is not held on this host: the run that took it has ended or lost its connection; apply again", cluster)
		}
		if holder == "" || run.holder().ID != holder { // a lock that was taken this moment has no record yet
			return busy(cluster, run)
		}
		return do()
	})
}

// Idle runs do as a call that changes the host, for nobody's run: alone, and not while a run holds the cluster's lock.
// A run that begins meanwhile waits for its end.
func (h Host) Idle(ctx context.Context, cluster string, do func() error) error {
	return h.asCall(ctx, cluster, func(run *file, held bool) error {
		if held {
			return busy(cluster, run)
		}
		return do()
	})
}

// asCall runs do while no other call changes the host, with the lock of the cluster's runs, and whether one holds it.
func (h Host) asCall(ctx context.Context, cluster string, do func(run *file, held bool) error) error {
	return h.Alone(ctx, cluster+callLock, func() error {
		run, err := h.open(cluster + runLock)
		if err != nil {
			return err
		}
		defer run.Close()
		held, err := run.held()
		if err != nil {
			return err
		}
		return do(run, held)
	})
}

// Renewal is the lock of renewals of a cluster's certificates on this host: one at a time.
func Renewal(cluster string) string { return cluster + ".renewal" }

// Alone runs do while no other process on this host has the lock of this name. It waits for the lock.
func (h Host) Alone(ctx context.Context, name string, do func() error) error {
	lock, err := h.open(name)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := lock.wait(ctx); err != nil {
		return err
	}
	return do()
}

// IsRunning tells whether a run holds the lock of a cluster.
func (h Host) IsRunning(cluster string) (bool, error) {
	lock, err := h.open(cluster + runLock)
	if err != nil {
		return false, err
	}
	held, err := lock.held()
	return held, errors.Join(err, lock.Close())
}

// OtherRuns returns when the first of those runs began that hold the lock of another cluster on this host; false: none
// does. The zero time means that nobody knows: the run has no record yet, or the clock has been put back since.
func (h Host) OtherRuns(cluster string) (began time.Time, found bool, err error) {
	entries, err := os.ReadDir(h.Files.Path(api.RunDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, false, err
	}
	for _, entry := range entries {
		if name, isRun := strings.CutSuffix(entry.Name(), runLock); !isRun || name == cluster {
			continue
		}
		lock, err := h.open(entry.Name())
		if err != nil {
			return time.Time{}, false, err
		}
		held, err := lock.held()
		since := lock.holder().Since
		if since.After(h.Now()) {
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

// BytesCame returns what a call of the lock's holder calls when bytes have arrived for it: on a slow connection the
// lock's heartbeats wait behind them.
func (h Host) BytesCame(cluster string) func() {
	var last time.Time
	return func() {
		if now := time.Now(); now.Sub(last) >= lifeSign {
			last = now
			// If this fails, the lock's heartbeats may still arrive.
			_ = os.Chtimes(h.Files.Path(filepath.Join(api.RunDir, cluster+callLock)), now, now)
		}
	}
}

// arrivesStill tells whether bytes have come within some time for a cluster: content of a call, or a store that is
// uploaded, to a directory that is named after the cluster.
func (h Host) arrivesStill(cluster string, within time.Duration) bool {
	stores, err := filepath.Glob(h.Files.Path(filepath.Join(api.StoreRoot, ".incoming.*.*."+cluster+"-??????", "*")))
	if err != nil {
		return false
	}
	for _, file := range append(stores, h.Files.Path(filepath.Join(api.RunDir, cluster+callLock))) {
		if info, err := os.Stat(file); err == nil {
			// A clock that was put back leaves files of the future, which say nothing of now.
			if since := time.Since(info.ModTime()); since >= 0 && since < within {
				return true
			}
		}
	}
	return false
}

// busy returns the error for a run or a call that finds the lock held.
func busy(cluster string, lock *file) error {
	holder := lock.holder()
	return &api.Error{Code: api.CodeBusy, Holder: &holder,
		Message: fmt.Sprintf("cluster %s is locked by %s: wait until that run has ended, and apply again", cluster, holder)}
}
