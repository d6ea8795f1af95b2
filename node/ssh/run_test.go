package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

func newPool(t testing.TB, opts ssh.Options) *ssh.Pool {
	t.Helper()
	pool := ssh.NewPool(opts)
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func connect(t testing.TB, opts ssh.Options, target ssh.Target) *ssh.Client {
	t.Helper()
	client, err := newPool(t, opts).Connect(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// start runs a handler as a host, and connects to it.
func start(t testing.TB, handler sshtest.Handler) *ssh.Client {
	t.Helper()
	return connect(t, ssh.Options{}, sshtest.Start(t, sshtest.Config{Handler: handler}).Target())
}

func TestRunPassesAllStreams(t *testing.T) {
	client := start(t, nil)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	var stdout, stderr bytes.Buffer
	err := client.Run(t.Context(), ssh.Command{
		Line: "cat; echo to stderr >&2", Stdin: bytes.NewReader(sent), Stdout: &stdout, Stderr: &stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stdout.Bytes(), sent) {
		t.Errorf("stdout: %d bytes came back, not the %d that went in", stdout.Len(), len(sent))
	}
	if stderr.String() != "to stderr\n" {
		t.Errorf("stderr: %q", stderr.String())
	}
}

func TestRunStreamsWhileTheCommandRuns(t *testing.T) {
	client := start(t, nil)
	stdin, speak := io.Pipe()
	hear, stdout := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- client.Run(t.Context(), ssh.Command{Line: `while read word; do echo "got $word"; done`, Stdin: stdin, Stdout: stdout})
		_ = stdout.Close()
	}()
	for i := range 3 {
		fmt.Fprintf(speak, "%d\n", i)
		var word string
		var n int
		if _, err := fmt.Fscan(hear, &word, &n); err != nil || n != i {
			t.Fatalf("line %d came back as %q %d: %v", i, word, n, err)
		}
	}
	_ = speak.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFailedCommand(t *testing.T) {
	client := start(t, nil)
	err := client.Run(t.Context(), ssh.Command{Line: "echo no such disk >&2; exit 3"})
	var exit *ssh.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%T: %v", err, err)
	}
	if exit.Status != 3 || exit.Signal != "" || exit.Stderr != "no such disk\n" || exit.Host != client.String() {
		t.Errorf("%+v", exit)
	}
	if errors.Is(err, ssh.ErrDisconnected) {
		t.Error("a failed command reads as a lost connection")
	}
	mustContain(t, err, client.String(), "exit status 3", "no such disk")

	err = client.Run(t.Context(), ssh.Command{Name: "format the disk", Line: "kill -KILL $$"})
	if !errors.As(err, &exit) || exit.Signal != "KILL" || exit.Status != 137 {
		t.Errorf("killed: %+v", err)
	}
	mustContain(t, err, "format the disk: killed by SIGKILL")

	if err := client.Run(t.Context(), ssh.Command{Line: "true"}); err != nil {
		t.Errorf("the connection did not survive failed commands: %v", err)
	}
}

func TestExitErrorKeepsTheEndOfStderr(t *testing.T) {
	client := start(t, func(_ context.Context, s *sshtest.Session) sshtest.Exit {
		_, _ = io.WriteString(s.Stderr, "the beginning"+strings.Repeat("x", 200<<10)+"\nthe end\n")
		return sshtest.Exit{Status: 1}
	})
	var all bytes.Buffer
	err := client.Run(t.Context(), ssh.Command{Line: "fail", Stderr: &all})
	var exit *ssh.ExitError
	if !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if len(exit.Stderr) != 64<<10+len("...") || !strings.HasPrefix(exit.Stderr, "...") || !strings.HasSuffix(exit.Stderr, "\nthe end\n") {
		t.Errorf("%d bytes, from %.10q", len(exit.Stderr), exit.Stderr)
	}
	if all.Len() != 200<<10+len("the beginning\nthe end\n") {
		t.Errorf("the writer got %d bytes", all.Len())
	}
}

func TestConnectionLostDuringACommand(t *testing.T) {
	for name, handler := range map[string]sshtest.Handler{
		"dropped": func(_ context.Context, s *sshtest.Session) sshtest.Exit {
			s.Drop()
			return sshtest.Exit{}
		},
		"session closed without a status": func(context.Context, *sshtest.Session) sshtest.Exit {
			return sshtest.Exit{Silent: true}
		},
		// What sshd does when a program ends whose output is still on its way: status 0, and part of the output.
		"dropped between status and the end of the output": func(_ context.Context, s *sshtest.Session) sshtest.Exit {
			_, _ = io.WriteString(s.Stdout, "half of")
			s.Report(0)
			s.Drop()
			return sshtest.Exit{Silent: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := start(t, handler)
			err := client.Run(t.Context(), ssh.Command{Line: "work"})
			if !errors.Is(err, ssh.ErrDisconnected) {
				t.Fatalf("not ErrDisconnected: %v", err)
			}
			var exit *ssh.ExitError
			if errors.As(err, &exit) {
				t.Errorf("a lost connection reads as a failed command: %v", err)
			}
			mustContain(t, err, client.String(), "work", "unknown")
		})
	}
}

func TestNothingRunsOnALostConnection(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	client := connect(t, ssh.Options{}, server.Target())
	server.Drop()
	for {
		// Until the client notices, which it does by itself, a command may count as begun.
		err := client.Run(t.Context(), ssh.Command{Line: "true"})
		if errors.Is(err, ssh.ErrUnreachable) {
			return
		}
		if !errors.Is(err, ssh.ErrDisconnected) {
			t.Fatalf("neither ErrUnreachable nor ErrDisconnected: %v", err)
		}
	}
}

func TestCancelledCommandIsToldToStop(t *testing.T) {
	signals := make(chan string, 1)
	client := start(t, func(ctx context.Context, s *sshtest.Session) sshtest.Exit {
		fmt.Fprintln(s.Stdout, "running")
		<-ctx.Done()
		signals <- s.Signal()
		return sshtest.Exit{Signal: "TERM"}
	})
	ctx, cancel := context.WithCancel(t.Context())
	hear, stdout := io.Pipe()
	go func() {
		_, _ = hear.Read(make([]byte, 10))
		cancel()
	}()
	err := client.Run(ctx, ssh.Command{Line: "wait", Stdout: stdout})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ssh.ErrDisconnected) {
		t.Errorf("not the context's error: %v", err)
	}
	if signal := <-signals; signal != "TERM" {
		t.Errorf("the command got the signal %q", signal)
	}
}

func TestCommandPastItsDeadline(t *testing.T) {
	client := start(t, nil)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("the disk took too long"))
	defer cancel()
	err := client.Run(ctx, ssh.Command{Line: "exec sleep 600"})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	mustContain(t, err, "the disk took too long")
}

func TestNothingIsWrittenAfterRun(t *testing.T) {
	// The race detector decides.
	client := start(t, func(_ context.Context, s *sshtest.Session) sshtest.Exit {
		for {
			if _, err := io.WriteString(s.Stdout, "noise\n"); err != nil {
				return sshtest.Exit{}
			}
		}
	})
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		var stdout bytes.Buffer
		if err := client.Run(ctx, ssh.Command{Line: "shout", Stdout: &stdout}); err == nil {
			t.Error("an endless command ended")
		}
		stdout.Reset()
		cancel()
	}
}

func TestFailingStreamsEndTheCommand(t *testing.T) {
	broken := errors.New("the local disk is full")
	client := start(t, nil)
	err := client.Run(t.Context(), ssh.Command{Line: "while :; do echo more; done", Stdout: failingWriter{broken}})
	if !errors.Is(err, broken) {
		t.Errorf("stdout: %v", err)
	}

	stdin := io.MultiReader(strings.NewReader("half of the data"), iotest.ErrReader(broken))
	if err := client.Run(t.Context(), ssh.Command{Line: "cat", Stdin: stdin}); !errors.Is(err, broken) {
		t.Errorf("stdin: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestCommandNeedNotReadItsInput(t *testing.T) {
	client := start(t, nil)
	if err := client.Run(t.Context(), ssh.Command{Line: "exit 0", Stdin: bytes.NewReader(make([]byte, 8<<20))}); err != nil {
		t.Error(err)
	}
	stdin, speak := io.Pipe() // never ends
	if err := client.Run(t.Context(), ssh.Command{Line: "exit 0", Stdin: stdin}); err != nil {
		t.Error(err)
	}
	_ = speak.Close()
}

func TestSessionsStayBelowTheLimit(t *testing.T) {
	for name, test := range map[string]struct {
		ours, hosts int
		most        int
	}{
		"ours":              {ours: 3, most: 3},
		"the default":       {most: 8},
		"lower on the host": {ours: 8, hosts: 2, most: 2},
		"one on the host":   {ours: 8, hosts: 1, most: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := sshtest.Start(t, sshtest.Config{MaxSessions: test.hosts})
			client := connect(t, ssh.Options{MaxSessions: test.ours}, server.Target())
			var all sync.WaitGroup
			for i := range 30 {
				all.Go(func() {
					var stdout bytes.Buffer
					if err := client.Run(t.Context(), ssh.Command{Line: fmt.Sprintf("sleep 0.01; echo %d", i), Stdout: &stdout}); err != nil {
						t.Error(err)
					} else if stdout.String() != fmt.Sprintln(i) {
						t.Errorf("command %d answers %q", i, stdout.String())
					}
				})
			}
			all.Wait()
			if peak := server.PeakSessions(); peak > test.most || peak == 0 {
				t.Errorf("%d sessions at once, the limit is %d", peak, test.most)
			}
			if test.hosts == 0 && server.RefusedSessions() > 0 {
				t.Errorf("%d sessions refused", server.RefusedSessions())
			}
		})
	}
}

func TestWaitingForASessionEndsWithTheContext(t *testing.T) {
	client := connect(t, ssh.Options{MaxSessions: 1}, sshtest.Start(t, sshtest.Config{}).Target())
	stdin, speak := io.Pipe()
	first := make(chan error, 1)
	hear, stdout := io.Pipe()
	go func() {
		first <- client.Run(t.Context(), ssh.Command{Line: "echo up; cat", Stdin: stdin, Stdout: stdout})
	}()
	_, _ = hear.Read(make([]byte, 3))

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := client.Run(ctx, ssh.Command{Line: "true"})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	mustContain(t, err, "not started")
	_ = speak.Close()
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func BenchmarkRun(b *testing.B) {
	client := start(b, func(context.Context, *sshtest.Session) sshtest.Exit { return sshtest.Exit{} })
	for b.Loop() {
		if err := client.Run(b.Context(), ssh.Command{Line: "true"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpload(b *testing.B) {
	client := start(b, func(_ context.Context, s *sshtest.Session) sshtest.Exit {
		_, _ = io.Copy(io.Discard, s.Stdin)
		return sshtest.Exit{}
	})
	data := make([]byte, 10<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := client.Run(b.Context(), ssh.Command{Line: "upload", Stdin: bytes.NewReader(data)}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConnect(b *testing.B) {
	server := sshtest.Start(b, sshtest.Config{})
	for b.Loop() {
		pool := ssh.NewPool(ssh.Options{})
		if _, err := pool.Connect(b.Context(), server.Target()); err != nil {
			b.Fatal(err)
		}
		_ = pool.Close()
	}
}
