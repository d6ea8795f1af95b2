package locks

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

func newHost(t *testing.T) Host {
	t.Helper()
	return Host{Files: files.Tree{Root: t.TempDir()}, Now: time.Now}
}

// take opens a lock, and takes it as another process would.
func take(t *testing.T, h Host, name string) *file {
	t.Helper()
	lock, err := h.open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if got, err := lock.try(); err != nil || !got {
		t.Fatal(got, err)
	}
	return lock
}

// TestWhoHoldsTheLockIsNotMistaken has records of locks say less than is the case: a lock that was taken this moment
// has none, or that of the run before.
func TestWhoHoldsTheLockIsNotMistaken(t *testing.T) {
	for name, record := range map[string]string{"none yet": "", "half of one": `{"id":"1","w`, "one without an ID": `{"who":"ops@ci-1"}`} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			if _, err := take(t, h, "main.run").WriteAt([]byte(record), 0); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"", "1"} { // a call that names nobody is nobody's
				do := func() error { t.Error("it was done"); return nil }
				if err := h.Under(t.Context(), "main", id, do); err == nil {
					t.Errorf("holder %q has the lock", id)
				}
			}
		})
	}
}

// TestWaitForAnOrphanEndsWithTheCall holds that no call waits longer than it lives, neither for the call of an earlier
// run nor for what another process does alone.
func TestWaitForAnOrphanEndsWithTheCall(t *testing.T) {
	h := newHost(t)
	take(t, h, "main.call")
	take(t, h, Shared)
	do := func() error { t.Error("it was done"); return nil }
	for name, wait := range map[string]func(context.Context) error{
		"a call":  func(ctx context.Context) error { return h.Under(ctx, "main", "1", do) },
		"a share": func(ctx context.Context) error { return h.Alone(ctx, Shared, do) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*orphanPoll)
		defer cancel()
		var busy *api.Error
		if err := wait(ctx); !errors.As(err, &busy) || busy.Code != api.CodeBusy {
			t.Errorf("%s ends with %v", name, err)
		}
	}
}
