package locks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
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

// TestACleanUpThatIsSlow holds that a holder is heard while its clean-up waits for a disk, and not told meanwhile that
// it has the lock; that the lock is free once the holder has gone; and that the next one waits for the clean-up.
func TestACleanUpThatIsSlow(t *testing.T) {
	for name, test := range map[string]struct {
		goes func(*io.PipeWriter)
		says string
	}{
		"it hangs up":     {func(w *io.PipeWriter) { _ = w.Close() }, ""},
		"it falls silent": {func(*io.PipeWriter) {}, "ops has been silent for 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			synctest.Test(t, func(t *testing.T) {
				const silence = time.Minute
				beats, holder := io.Pipe()
				disk, freed := make(chan struct{}), make(chan error, 1)
				go func() {
					freed <- h.Hold(t.Context(), "main", api.Holder{ID: "1", Who: "ops"}, beats, silence, func() { <-disk }, func() { t.Error("it was told that the lock is taken") })
				}()
				for range 10 {
					time.Sleep(silence - time.Second)
					if _, err := io.WriteString(holder, "\n"); err != nil {
						t.Fatal(err)
					}
				}
				if held, err := h.IsRunning("main"); err != nil || !held {
					t.Fatalf("while it speaks it holds the lock: %v, %v", held, err)
				}
				test.goes(holder)
				time.Sleep(2 * silence)
				if held, err := h.IsRunning("main"); err != nil || held {
					t.Errorf("once it has gone the lock is held: %v, %v", held, err)
				}
				call, err := h.open("main" + callLock)
				if err != nil {
					t.Fatal(err)
				}
				defer call.Close()
				if got, err := call.try(); err != nil || got {
					t.Errorf("the next run need not wait for the clean-up: %v", err)
				}
				close(disk)
				if err := <-freed; (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
					t.Errorf("it ends with %v", err)
				}
				_ = holder.Close()
			})
		})
	}
}

// asHolder has this test binary hold the lock of a host, whose root it names, for who writes to its stdin.
const asHolder = "LOCKS_TEST_HOLDS"

// pausedSilence is more than a busy machine keeps this process from its work.
const pausedSilence = 5 * time.Second

func TestMain(m *testing.M) {
	root := os.Getenv(asHolder)
	if root == "" {
		os.Exit(m.Run())
	}
	h := Host{Files: files.Tree{Root: root}, Now: time.Now}
	if err := h.Hold(context.Background(), "main", api.Holder{ID: "1", Who: "ops"}, os.Stdin, pausedSilence, func() {}, func() { fmt.Println(api.LockTaken) }); err != nil {
		fmt.Println(err)
	}
	os.Exit(0)
}

// TestAHostThatStandsStillKeepsItsLock holds that heartbeats that came while a host was paused for longer than a
// caller may be silent are heard, and that a caller who says nothing after a pause still loses the lock.
func TestAHostThatStandsStillKeepsItsLock(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	holding := exec.Command(os.Args[0])
	holding.Env = append(os.Environ(), asHolder+"="+h.Files.Root)
	holding.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := holding.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := holding.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holding.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holding.Process.Kill(); _ = holding.Wait() }()
	says := bufio.NewScanner(stdout)
	if !says.Scan() || says.Text() != api.LockTaken {
		t.Fatalf("it says %q", says.Text())
	}
	signal := func(s syscall.Signal) {
		t.Helper()
		if err := holding.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	speak := func(during time.Duration) {
		for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(pausedSilence / 40) {
			_, _ = io.WriteString(stdin, "\n") // one that has gone is seen by its lock
		}
	}
	signal(syscall.SIGSTOP)
	speak(pausedSilence * 5 / 4)
	signal(syscall.SIGCONT)
	speak(pausedSilence / 4)
	if held, err := h.IsRunning("main"); err != nil || !held {
		t.Fatalf("after a pause the lock is held: %v, %v", held, err)
	}
	signal(syscall.SIGSTOP)
	time.Sleep(pausedSilence * 5 / 4)
	signal(syscall.SIGCONT)
	if !says.Scan() || !strings.Contains(says.Text(), "ops has been silent for 5s") {
		t.Errorf("once nothing comes any more it says %q", says.Text())
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
