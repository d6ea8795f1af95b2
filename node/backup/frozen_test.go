package backup

import (
	"errors"
	"os"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup/frozentest"
)

// stacks returns what all goroutines are doing.
func stacks(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestADraftOnStorageThatHangs holds that whatever is done with a draft is given up once its storage answers no more,
// and that it becomes no backup when the storage answers again.
func TestADraftOnStorageThatHangs(t *testing.T) {
	text := noise(3<<20, 5)
	for name, do := range map[string]func(*testing.T, *Draft) error{
		"it is emptied": func(_ *testing.T, d *Draft) error { return d.Empty(func(*os.File) error { return nil }) },
		"it is written": func(_ *testing.T, d *Draft) error { _, err := d.Write(text); return err },
		"it is stored": func(t *testing.T, d *Draft) error {
			_, err := StoreStaged(t.Context(), Bounded(d.in, time.Second), snapshotOf(text, 31), d)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := directory(t)
			freeze, thaw := frozentest.Mount(t, d.root)
			draft := staged(t, d, text)
			draft.bounds.patience = time.Second
			freeze()
			ended := make(chan error, 1)
			go func() { ended <- do(t, draft) }()
			select {
			case err := <-ended:
				if !errors.Is(err, ErrStorageHangs) {
					t.Errorf("it ends with %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("it has not ended within a minute")
			}
			if _, err := draft.Content(1).Read(make([]byte, 1)); !errors.Is(err, ErrStorageHangs) {
				t.Errorf("then it is read: %v", err)
			}
			thaw()
			for end := time.Now().Add(time.Minute); strings.Contains(stacks(t), "UnlessItHangs"); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("what was given up goes on")
				}
			}
			if got := keys(t, d); len(got) > 0 {
				t.Errorf("it has left %q", got)
			}
		})
	}
}
