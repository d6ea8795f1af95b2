package pace

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
)

// asPaced makes this test binary wait for progress, for a test that pauses it: the way, and where the member's files
// are.
const asPaced = "PACE_TEST_AS_PACED"

func TestMain(m *testing.M) {
	what := os.Getenv(asPaced)
	if what == "" {
		os.Exit(m.Run())
	}
	how, root, _ := strings.Cut(what, ": ")
	fmt.Println("it waits")
	fmt.Println(paced[how](root))
}

// pausedPatience is much more than a busy machine keeps this process from its work.
const pausedPatience = 10 * time.Second

var pausedMarker = api.Marker{Cluster: "main", Member: "a", DataDir: "/data"}

// paced are the ways to wait for a member's progress. Each ends with the standard input, or once it gives up.
var paced = map[string]func(root string) error{
	"a stream": func(string) error {
		ended := make(chan error, 2)
		from := Flowing(os.Stdin, pausedPatience, func() { ended <- errors.New("given up") })
		go func() {
			_, err := io.Copy(io.Discard, from)
			ended <- err
		}()
		return <-ended
	},
	"a member": func(root string) error {
		ctx, stop := Host{Root: root}.WhileProcessGains(context.Background(), pausedMarker, pausedPatience, func(context.Context) (int, error) { return 0, nil }, func() {})
		defer stop()
		read := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			close(read)
		}()
		select {
		case <-read:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	},
}

// TestAMachineThatStandsStillGivesNobodyUp holds that a machine that is paused for longer than a member may make no
// progress gives up neither the member nor its stream: what moves once the machine goes on is seen.
func TestAMachineThatStandsStillGivesNobodyUp(t *testing.T) {
	for how := range paced {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			database := filepath.Join(root, etcdfs.Database(pausedMarker.DataDir))
			size := int64(0)
			grow := func() {
				size++
				if err := errors.Join(os.MkdirAll(filepath.Dir(database), 0o700), os.WriteFile(database, nil, 0o600), os.Truncate(database, size)); err != nil {
					t.Fatal(err)
				}
			}
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), asPaced+"="+how+": "+root)
			child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			stdin, err := child.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
			says := bufio.NewScanner(stdout)
			if !says.Scan() {
				t.Fatal("it says nothing")
			}
			if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			time.Sleep(pausedPatience * 5 / 4)
			if err := child.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			// What comes at once might be seen before the time is looked at.
			for range 5 {
				time.Sleep(pausedPatience / 50)
				grow()
				_, _ = io.WriteString(stdin, "x") // one that has ended says why
			}
			_ = stdin.Close()
			if says.Scan(); says.Text() != "<nil>" {
				t.Errorf("it ends with %q", says.Text())
			}
		})
	}
}

// TestFlowing holds that a reader is given up once nothing comes, and not before.
func TestFlowing(t *testing.T) {
	t.Parallel()
	from, to := io.Pipe()
	gone := errors.New("given up")
	go func() {
		for range 5 {
			_, _ = to.Write([]byte("x"))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	got, err := io.ReadAll(Flowing(from, time.Second, func() { _ = from.CloseWithError(gone) }))
	if string(got) != "xxxxx" || !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, gone) {
		t.Errorf("%q, %v", got, err)
	}
}
