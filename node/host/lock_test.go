package host

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// patience is how long a test waits for what must happen.
const patience = 3 * time.Minute

// holding is a held lock.
type holding struct {
	stdin *io.PipeWriter
	ended chan error
}

// hold takes a lock, and returns once it is held.
func hold(t *testing.T, m *Machine, cluster, id string, silence time.Duration) *holding {
	t.Helper()
	stdin, speak := io.Pipe()
	h := &holding{stdin: speak, ended: make(chan error, 1)}
	taken := make(chan struct{})
	go func() {
		holder := api.Holder{ID: id, Who: "ops@ci-" + id}
		h.ended <- m.Lock(context.Background(), cluster, api.LockRequest{Holder: holder}, stdin, silence, func() { close(taken) })
	}()
	select {
	case <-taken:
	case err := <-h.ended:
		t.Fatalf("the lock was not taken: %v", err)
	case <-time.After(patience):
		t.Fatal("the lock is neither taken nor refused")
	}
	t.Cleanup(func() { speak.Close() })
	return h
}

// release ends the holder's input, as the end of its connection does.
func (h *holding) release(t *testing.T) {
	t.Helper()
	h.stdin.Close()
	if err := h.wait(t); err != nil {
		t.Errorf("the lock ended with %v", err)
	}
}

func (h *holding) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-h.ended:
		return err
	case <-time.After(patience):
		t.Fatal("the lock does not end")
		return nil
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	m, _ := newMachine(t)
	first := hold(t, m, "main", "1", patience)
	err := m.Lock(t.Context(), "main", api.LockRequest{Holder: api.Holder{ID: "2"}}, os.Stdin, patience, func() { t.Error("it was taken") })
	mustFail(t, err, api.CodeBusy, "ops@ci-1, since 2026-03-04T05:06:07Z")
	var busy *api.Error
	if !errors.As(err, &busy) || busy.Holder == nil || busy.Holder.ID != "1" {
		t.Errorf("the error does not say who holds it: %+v", busy)
	}
	// Another cluster on this host has a lock of its own.
	hold(t, m, "events", "3", patience).release(t)

	first.release(t)
	hold(t, m, "main", "2", patience).release(t)
}

func TestLockOfASilentHolderIsFreed(t *testing.T) {
	m, _ := newMachine(t)
	silent := hold(t, m, "main", "1", 100*time.Millisecond)
	mustFail(t, silent.wait(t), api.CodeFailed, "ops@ci-1", "silent")
	hold(t, m, "main", "2", patience).release(t)
}

func TestLockOfASpeakingHolderIsKept(t *testing.T) {
	t.Parallel()
	m, _ := newMachine(t)
	synctest.Test(t, func(t *testing.T) {
		const silence = time.Minute
		speaking := hold(t, m, "main", "1", silence)
		for range 10 {
			time.Sleep(silence - time.Second)
			if _, err := io.WriteString(speaking.stdin, "\n"); err != nil {
				t.Fatalf("it has ended: %v", <-speaking.ended)
			}
		}
		speaking.release(t)
	})
}

func TestChangesWantTheLock(t *testing.T) {
	m, _ := newMachine(t)
	do := func() error { t.Error("it was done"); return nil }
	mustRefuse(t, m.locks().Under(t.Context(), "main", "1", do), "lock of cluster main is not held")

	h := hold(t, m, "main", "1", patience)
	mustFail(t, m.locks().Under(t.Context(), "main", "2", do), api.CodeBusy, "ops@ci-1")
	mustRefuse(t, m.locks().Under(t.Context(), "events", "1", do), "lock of cluster events is not held")

	done := false
	if err := m.locks().Under(t.Context(), "main", "1", func() error { done = true; return nil }); err != nil || !done {
		t.Errorf("the holder's own call: done %v, %v", done, err)
	}
	h.release(t)
	mustRefuse(t, m.locks().Under(t.Context(), "main", "1", do), "not held")
}

// TestLocksOfTwoClusters holds that nobody acts by the lock of another cluster, or by none.
func TestLocksOfTwoClusters(t *testing.T) {
	do := func() error { t.Error("it was done"); return nil }
	m, _ := newMachine(t)
	if err := m.Lock(t.Context(), "main", api.LockRequest{}, os.Stdin, patience, func() { t.Error("it was taken") }); err == nil {
		t.Error("a lock is held by nobody")
	}
	// The runs of two clusters on one host: neither acts by the lock of the other, and each record stays its own.
	main, events := hold(t, m, "main", "1", patience), hold(t, m, "events", "2", patience)
	mustFail(t, m.locks().Under(t.Context(), "events", "1", do), api.CodeBusy, "ops@ci-2")
	mustFail(t, m.locks().Under(t.Context(), "main", "2", do), api.CodeBusy, "ops@ci-1")
	events.release(t)
	mustRefuse(t, m.locks().Under(t.Context(), "events", "1", do), "lock of cluster events is not held")
	if _, found, err := m.locks().OtherRuns("main"); err != nil || found {
		t.Errorf("a run that has ended counts as under way: %t, %v", found, err)
	}
	if _, found, err := m.locks().OtherRuns("events"); err != nil || !found {
		t.Errorf("a run that is under way does not count: %t, %v", found, err)
	}
	main.release(t)
}

// TestOrphansAreWaitedFor holds that the call of a killed run ends before the next run looks, and
// that it does nothing any more if it had not begun.
func TestOrphansAreWaitedFor(t *testing.T) {
	m, _ := newMachine(t)
	killed := hold(t, m, "main", "1", patience)
	begun, finish, orphan := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		orphan <- m.locks().Under(context.Background(), "main", "1", func() error {
			close(begun)
			<-finish
			return nil
		})
	}()
	<-begun
	late := make(chan error, 1)
	go func() {
		late <- m.locks().Under(context.Background(), "main", "1", func() error { return errors.New("it was done") })
	}()
	killed.release(t)

	taken, next := make(chan struct{}), make(chan error, 1)
	input, speak := io.Pipe()
	defer speak.Close()
	go func() {
		next <- m.Lock(context.Background(), "main", api.LockRequest{Holder: api.Holder{ID: "2", Who: "ops@ci-2"}}, input, patience, func() { close(taken) })
	}()
	// The run that comes next holds the lock, and is not told so while the orphan is at work.
	for record := ""; !strings.Contains(record, `"id":"2"`); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(m.path(filepath.Join(api.RunDir, "main.run")))
		if err != nil {
			t.Fatal(err)
		}
		record = string(text)
	}
	select {
	case <-taken:
		t.Error("the next run may look while the orphan is at work")
	case <-time.After(150 * time.Millisecond):
	}
	close(finish)
	if err := <-orphan; err != nil {
		t.Error(err)
	}
	mustFail(t, <-late, api.CodeBusy, "ops@ci-2")
	select {
	case <-taken:
	case err := <-next:
		t.Errorf("the next run did not get the lock: %v", err)
	case <-time.After(patience):
		t.Error("the next run waits for nothing")
	}
}
