package node

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

// reached returns a node on a server in this process. handle gets each command, with the first line of its input.
func reached(t *testing.T, handle func(s *sshtest.Session, request string) sshtest.Exit) *Node {
	t.Helper()
	return reachedBy(t, sshtest.Config{}, handle)
}

// reachedBy is reached with this configuration of sshd.
func reachedBy(t *testing.T, config sshtest.Config, handle func(s *sshtest.Session, request string) sshtest.Exit) *Node {
	t.Helper()
	config.Handler = func(_ context.Context, s *sshtest.Session) sshtest.Exit {
		in := bufio.NewReader(s.Stdin)
		s.Stdin = in
		line, err := in.ReadString('\n')
		if err != nil {
			t.Errorf("the request is no line: %q, %v", line, err)
		}
		return handle(s, line)
	}
	server := sshtest.Start(t, config)
	pool := ssh.NewPool(ssh.Options{})
	t.Cleanup(func() { pool.Close() })
	return New(pool, server.Target(), secret.Text{}, nil)
}

var observe = api.Request{Version: api.Version, Operation: api.OpObserve, Cluster: "prod", Body: json.RawMessage(`{}`)}

func TestCallReadsTheResult(t *testing.T) {
	n := reached(t, func(s *sshtest.Session, request string) sshtest.Exit {
		var got api.Request
		if err := json.Unmarshal([]byte(request), &got); err != nil || got.Operation != api.OpObserve || got.Cluster != "prod" {
			t.Errorf("the store was asked %q", request)
		}
		if !strings.Contains(s.Command, api.SelectedStore("prod")+"/store") {
			t.Errorf("it was not the selected store that was called: %s", s.Command)
		}
		// A line may arrive in pieces.
		for _, piece := range []string{`{"progress":"looking"}` + "\n" + `{"resu`, `lt":{"facts":{"hostname":"a"}}}`, "\n"} {
			_, _ = io.WriteString(s.Stdout, piece)
		}
		return sshtest.Exit{}
	})
	var o api.Observation
	if err := n.Call(t.Context(), "", observe, &o); err != nil {
		t.Fatal(err)
	}
	if o.Facts.Hostname != "a" {
		t.Errorf("the result reads %+v", o)
	}
}

func TestCallTellsFailuresApart(t *testing.T) {
	for name, test := range map[string]struct {
		print string
		exit  sshtest.Exit
		code  api.Code // of the store's own error; empty: another error
		says  string
	}{
		"the store refuses":       {`{"error":{"code":"refused","message":"not yours"}}` + "\n", sshtest.Exit{Status: 1}, api.CodeRefused, "not yours"},
		"there is no store":       {"", sshtest.Exit{Status: 97}, api.CodeNoStore, "no store"},
		"it dies":                 {`{"progress":"half"}` + "\n", sshtest.Exit{Signal: "KILL"}, "", "KILL"},
		"it says nothing":         {"", sshtest.Exit{}, "", "ended without a result"},
		"it is another program":   {"Welcome!\n", sshtest.Exit{}, "", "Welcome!"},
		"the result is another's": {`{"result":[1,2]}` + "\n", sshtest.Exit{}, "", "cannot be read"},
		"sudo is not there":       {"", sshtest.Exit{Status: 98}, "", "sudo is not installed"},
	} {
		t.Run(name, func(t *testing.T) {
			n := reached(t, func(s *sshtest.Session, _ string) sshtest.Exit {
				_, _ = io.WriteString(s.Stdout, test.print)
				return test.exit
			})
			err := n.Call(t.Context(), "", observe, &api.Observation{})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("the error is %v, and should say %q", err, test.says)
			}
			var own *api.Error
			if errors.As(err, &own) != (test.code != "") || own != nil && own.Code != test.code {
				t.Errorf("the error is %#v, want code %q", err, test.code)
			}
		})
	}
}

func TestCallTellsALostConnection(t *testing.T) {
	n := reached(t, func(s *sshtest.Session, _ string) sshtest.Exit {
		s.Drop()
		return sshtest.Exit{Silent: true}
	})
	if err := n.Call(t.Context(), "", observe, nil); !errors.Is(err, ssh.ErrDisconnected) {
		t.Errorf("the error is %v", err)
	}
}

// TestContentIsSentAndReceived holds that content arrives as it was sent, in whatever pieces, and that it counts only
// if the answer ends with a result.
func TestContentIsSentAndReceived(t *testing.T) {
	whole := "{\"progress\":\"saving\"}\n{\"content\":5}\nhello{\"content\":8}\n{\"a\":1}\n{\"result\":{\"sha256\":\"ab\"}}\n"
	for cut := range len(whole) {
		var got bytes.Buffer
		a := answer{content: &got}
		for _, piece := range []string{whole[:cut], whole[cut:]} {
			if n, err := a.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatalf("cut at %d: %d, %v", cut, n, err)
			}
		}
		if last, err := a.last(); err != nil || string(last.Result) != `{"sha256":"ab"}` || got.String() != "hello{\"a\":1}\n" {
			t.Errorf("cut at %d: %q, %+v, %v", cut, got.String(), last, err)
		}
	}

	for name, test := range map[string]struct {
		print   string
		content io.Writer
		says    string // empty: the call succeeds
	}{
		"whole":                   {whole, io.Discard, ""},
		"an error behind content": {"{\"content\":2}\nhi{\"error\":{\"code\":\"failed\",\"message\":\"the disk is full\"}}\n", io.Discard, "the disk is full"},
		"the end amid content":    {"{\"content\":20}\nhello", io.Discard, "ended without a result"},
		"a result amid content":   {"{\"content\":99}\n{\"result\":{}}\n", io.Discard, "ended without a result"},
		"a receiver that is full": {whole, full{}, "no space left"},
	} {
		t.Run(name, func(t *testing.T) {
			n := reached(t, func(s *sshtest.Session, _ string) sshtest.Exit {
				_, _ = io.WriteString(s.Stdout, test.print)
				return sshtest.Exit{}
			})
			err := n.Download(t.Context(), "", observe, test.content, &api.Upload{})
			if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("the error is %v, and should say %q", err, test.says)
			}
		})
	}

	content := strings.Repeat("0123456789", 100_000)
	n := reached(t, func(s *sshtest.Session, request string) sshtest.Exit {
		got, err := io.ReadAll(s.Stdin)
		fmt.Fprintf(s.Stdout, "{\"result\":{\"size_bytes\":%d}}\n", len(got))
		if err != nil || string(got) != content || !strings.HasSuffix(request, "}\n") {
			t.Errorf("behind %q came %d bytes, %v", request, len(got), err)
		}
		return sshtest.Exit{}
	})
	var read api.Upload
	if err := n.Upload(t.Context(), "", observe, strings.NewReader(content), &read); err != nil || read.SizeBytes != int64(len(content)) {
		t.Errorf("sent: %+v, %v", read, err)
	}
}

// TestHostThatSendsOn holds that a call ends if a host sends without end, before the host fills the memory.
func TestHostThatSendsOn(t *testing.T) {
	sent := make(chan int64, 1)
	server := sshtest.Start(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.Exit {
		piece, all := bytes.Repeat([]byte("x"), 1<<16), int64(0)
		for all < 1<<28 {
			n, err := s.Stdout.Write(piece)
			if all += int64(n); err != nil {
				break
			}
		}
		sent <- all
		return sshtest.Exit{}
	}})
	pool := ssh.NewPool(ssh.Options{})
	t.Cleanup(func() { pool.Close() })
	n := New(pool, server.Target(), secret.Text{}, nil)
	for name, ask := range map[string]func() error{
		"a call":          func() error { return n.Call(t.Context(), "", observe, &api.Observation{}) },
		"a download":      func() error { return n.Download(t.Context(), "", observe, io.Discard, &api.Upload{}) },
		"a first contact": func() error { _, err := n.Contact(t.Context(), "prod", api.ObserveRequest{}); return err },
	} {
		err := ask()
		if err == nil || !strings.Contains(err.Error(), "MiB") || len(err.Error()) > 2000 {
			t.Errorf("%s: the error of %d bytes is %.2000v", name, len(fmt.Sprint(err)), err)
		}
		if all := <-sent; all > 1<<27 {
			t.Errorf("%s: %d bytes were taken", name, all)
		}
	}
	// A result may be long. An error quotes only the beginning of what is no result.
	long := strings.Repeat("y", longestLine/2)
	n = reached(t, func(s *sshtest.Session, _ string) sshtest.Exit {
		fmt.Fprintf(s.Stdout, "%s\n{\"result\":{\"sha256\":%q}}\n", long, long)
		return sshtest.Exit{}
	})
	var got api.Upload
	if err := n.Call(t.Context(), "", observe, &got); err != nil || got.SHA256 != long {
		t.Errorf("a long result: %d bytes, %v", len(got.SHA256), err)
	}
	n = reached(t, func(s *sshtest.Session, _ string) sshtest.Exit {
		_, _ = io.WriteString(s.Stdout, long+"\n")
		return sshtest.Exit{}
	})
	if err := n.Call(t.Context(), "", observe, &got); err == nil || len(err.Error()) > 2000 {
		t.Errorf("a long line that is no result: %.2000v", err)
	}
}

// TestUploadThatIsRefused holds that if a store reads no content, the error is the store's reason, and not that nobody
// has read the content.
func TestUploadThatIsRefused(t *testing.T) {
	n := reached(t, func(s *sshtest.Session, _ string) sshtest.Exit {
		_, _ = io.WriteString(s.Stdout, `{"error":{"code":"refused","message":"free some space"}}`+"\n")
		return sshtest.Exit{Status: 1}
	})
	err := n.Upload(t.Context(), "", observe, strings.NewReader(strings.Repeat("x", 8<<20)), nil)
	var own *api.Error
	if !errors.As(err, &own) || own.Code != api.CodeRefused {
		t.Errorf("the error is %v", err)
	}
}

// full fails each write, like a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// holdLock imitates a store that acquires the lock and holds it for as long as its input lasts.
func holdLock(s *sshtest.Session, freed chan<- struct{}) sshtest.Exit {
	fmt.Fprintf(s.Stdout, "{\"progress\":%q}\n", api.LockTaken)
	_, _ = io.Copy(io.Discard, s.Stdin)
	close(freed)
	_, _ = io.WriteString(s.Stdout, `{"result":{}}`+"\n")
	return sshtest.Exit{}
}

func TestLockIsHeldUntilItIsReleased(t *testing.T) {
	freed := make(chan struct{})
	n := reached(t, func(s *sshtest.Session, _ string) sshtest.Exit { return holdLock(s, freed) })
	ctx, cancel := context.WithCancel(t.Context())
	held, release, err := n.Lock(ctx, "", "prod", api.Holder{ID: "1", Who: "ops@ci"})
	if err != nil {
		t.Fatal(err)
	}
	cancel() // an interrupt does not release the lock: the step under way is finished first
	select {
	case <-freed:
		t.Error("the lock was freed by an interrupt")
	case <-time.After(50 * time.Millisecond):
	}
	release()
	release()
	<-freed
	<-held.Done()
}

// TestLockOnAHostThatHangs: a session that does not end holds nobody up.
func TestLockOnAHostThatHangs(t *testing.T) {
	hangs := make(chan struct{})
	defer close(hangs)
	n := reached(t, func(s *sshtest.Session, _ string) sshtest.Exit {
		fmt.Fprintf(s.Stdout, "{\"progress\":%q}\n", api.LockTaken)
		<-hangs
		return sshtest.Exit{}
	})
	held, release, err := n.lock(t.Context(), "", "prod", api.Holder{ID: "1"}, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	release()
	<-held.Done()
}

func TestLockThatIsLostSaysSo(t *testing.T) {
	drop := make(chan struct{})
	n := reached(t, func(s *sshtest.Session, _ string) sshtest.Exit {
		fmt.Fprintf(s.Stdout, "{\"progress\":%q}\n", api.LockTaken)
		<-drop
		s.Drop()
		return sshtest.Exit{Silent: true}
	})
	held, release, err := n.Lock(t.Context(), "", "prod", api.Holder{ID: "1"})
	if err != nil {
		t.Fatal(err)
	}
	close(drop)
	<-held.Done()
	if cause := context.Cause(held); !errors.Is(cause, ErrLockLost) || !errors.Is(cause, ssh.ErrDisconnected) {
		t.Errorf("the cause is %v", cause)
	}
	release()
}

func TestLockThatAnotherHolds(t *testing.T) {
	n := reached(t, func(s *sshtest.Session, _ string) sshtest.Exit {
		_, _ = io.WriteString(s.Stdout, `{"error":{"code":"busy","message":"cluster prod is locked by ops@ci-7","holder":{"who":"ops@ci-7"}}}`+"\n")
		return sshtest.Exit{Status: 1}
	})
	_, _, err := n.Lock(t.Context(), "", "prod", api.Holder{ID: "1"})
	var busy *api.Error
	if !errors.As(err, &busy) || busy.Code != api.CodeBusy || busy.Holder == nil || busy.Holder.Who != "ops@ci-7" {
		t.Errorf("the error is %v", err)
	}
}

// TestContactThatWaitsForASession: where a lock and a call have all the sessions that sshd allows, the first contact
// says that the host was not asked, which says nothing about the host.
func TestContactThatWaitsForASession(t *testing.T) {
	freed, calling, ends := make(chan struct{}), make(chan struct{}), make(chan struct{})
	n := reachedBy(t, sshtest.Config{MaxSessions: 2}, func(s *sshtest.Session, request string) sshtest.Exit {
		if strings.Contains(request, `"operation":"lock"`) {
			return holdLock(s, freed)
		}
		close(calling)
		<-ends
		_, _ = io.WriteString(s.Stdout, `{"result":{}}`+"\n")
		return sshtest.Exit{}
	})
	_, release, err := n.Lock(t.Context(), "", "prod", api.Holder{ID: "1", Who: "ops@ci"})
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan error)
	go func() { called <- n.Call(t.Context(), "", api.Request{Operation: api.OpAwait, Cluster: "prod"}, nil) }()
	<-calling
	limited, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := n.Contact(limited, "prod", api.ObserveRequest{DataDir: "/var/lib/etcd/prod"}); !errors.Is(err, api.ErrNotAsked) {
		t.Errorf("the contact: %v", err)
	}
	close(ends)
	if err := <-called; err != nil {
		t.Errorf("the call: %v", err)
	}
	release()
}

// TestContactOfAHostOfOneSession: the first contact reports an sshd that opens one session a connection, before
// anything is installed on any host.
func TestContactOfAHostOfOneSession(t *testing.T) {
	for limit, one := range map[int]bool{1: true, 2: false, 0: false} {
		contact := sshtest.Config{MaxSessions: limit}
		var server *sshtest.Server
		contact.Handler = func(ctx context.Context, s *sshtest.Session) sshtest.Exit {
			_, _ = io.WriteString(s.Stdout, "kernel 6.1.0-28-amd64\n")
			for wait := time.Now(); one && server.RefusedSessions() == 0 && time.Since(wait) < time.Minute; time.Sleep(time.Millisecond) {
			}
			_, _ = io.WriteString(s.Stdout, "machine x86_64\ninit systemd\nroot /usr/local/lib/etcd-store\nfree-kib 1\ndata-free-kib 1\nend .\n")
			return sshtest.Exit{}
		}
		server = sshtest.Start(t, contact)
		pool := ssh.NewPool(ssh.Options{})
		t.Cleanup(func() { pool.Close() })
		found, err := New(pool, server.Target(), secret.Text{}, nil).Contact(t.Context(), "prod", api.ObserveRequest{DataDir: "/var/lib/etcd/prod"})
		if err != nil || found.OneSession != one {
			t.Errorf("of %d sessions it says %t, %v", limit, found.OneSession, err)
		}
	}
}

// TestLockOnAHostOfOneSession: if sshd opens one session a connection, no call could be made beside the lock.
func TestLockOnAHostOfOneSession(t *testing.T) {
	freed := make(chan struct{})
	n := reachedBy(t, sshtest.Config{MaxSessions: 1}, func(s *sshtest.Session, _ string) sshtest.Exit { return holdLock(s, freed) })
	_, _, err := n.Lock(t.Context(), "", "prod", api.Holder{ID: "1", Who: "ops@ci"})
	if !errors.Is(err, ssh.ErrOneSession) {
		t.Errorf("the error is %v", err)
	}
	<-freed // the lock is not left behind
}
