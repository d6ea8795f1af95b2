package ssh_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

// impatient returns limits for tests of hosts that do not answer.
func impatient() ssh.Options {
	return ssh.Options{ConnectTimeout: 2 * time.Second, AttemptTimeout: time.Second, RetryDelay: 10 * time.Millisecond}
}

// closed is an address at which nothing listens. A port freed a moment ago would soon be another test's.
var closed = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

// targetAt returns a valid target at an address where there need not be an SSH server.
func targetAt(t *testing.T, addr net.Addr) ssh.Target {
	t.Helper()
	target := sshtest.Start(t, sshtest.Config{}).Target()
	tcp := addr.(*net.TCPAddr)
	target.Address, target.Port = tcp.IP.String(), tcp.Port
	return target
}

// listen accepts connections and hands them to serve.
func listen(t *testing.T, serve func(net.Conn)) net.Addr {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return listener.Addr()
}

// hear returns the address of a host that accepts connections and says nothing.
func hear(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestUnreachable(t *testing.T) {
	for name, test := range map[string]struct {
		at   net.Addr
		says string
	}{
		"refused": {closed, "connection refused"},
		"silent":  {listen(t, hear), "the handshake stops"},
		"silent after the version": {listen(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n")
			_, _ = io.Copy(io.Discard, c)
		}), "the handshake stops"},
		"hangs up": {listen(t, func(c net.Conn) { _ = c.Close() }), "closed the connection during the handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := targetAt(t, test.at)
			_, err := newPool(t, impatient()).Connect(t.Context(), target)
			if !errors.Is(err, ssh.ErrUnreachable) {
				t.Fatalf("not ErrUnreachable: %v", err)
			}
			mustContain(t, err, target.String(), test.says, "given up after 2s")
		})
	}
}

func TestNotAnSSHServer(t *testing.T) {
	var dials atomic.Int32
	addr := listen(t, func(c net.Conn) {
		dials.Add(1)
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n"); err != nil {
				return
			}
		}
	})
	_, err := newPool(t, ssh.Options{}).Connect(t.Context(), targetAt(t, addr))
	if !errors.Is(err, ssh.ErrUnreachable) {
		t.Fatal(err)
	}
	mustContain(t, err, "does not talk SSH")
	if dials.Load() != 1 {
		t.Errorf("tried %d times", dials.Load())
	}
}

func TestHostThatComesUpLateIsWaitedFor(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	var dials atomic.Int32
	client := connect(t, ssh.Options{
		RetryDelay: time.Millisecond,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) <= 3 {
				return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}, server.Target())
	if err := client.Run(t.Context(), ssh.Command{Line: "true"}); err != nil {
		t.Error(err)
	}
}

func TestUnknownHostNameIsFinal(t *testing.T) {
	var dials atomic.Int32
	pool := newPool(t, ssh.Options{Dial: func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "host.invalid", IsNotFound: true}}
	}})
	target := sshtest.Start(t, sshtest.Config{}).Target()
	target.Address = "host.invalid"
	if _, err := pool.Connect(t.Context(), target); !errors.Is(err, ssh.ErrUnreachable) {
		t.Error(err)
	}
	if dials.Load() != 1 {
		t.Errorf("dialed %d times", dials.Load())
	}
}

func TestConnectEndsWithTheContext(t *testing.T) {
	reached := make(chan struct{}, 10)
	silent := listen(t, func(c net.Conn) {
		reached <- struct{}{}
		hear(c)
	})
	target := targetAt(t, silent)
	pool := newPool(t, ssh.Options{})

	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-reached
			cancel()
		}()
		_, err := pool.Connect(ctx, target)
		if !errors.Is(err, context.Canceled) || errors.Is(err, ssh.ErrUnreachable) {
			t.Errorf("a cancelled attempt says nothing about the host: %v", err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := pool.Connect(ctx, target)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ssh.ErrUnreachable) {
			t.Errorf("neither the deadline nor what was met: %v", err)
		}
	})
	t.Run("already", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := pool.Connect(ctx, target); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestOneConnectionForAll(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	pool := newPool(t, ssh.Options{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			client, err := pool.Connect(t.Context(), server.Target())
			if err != nil {
				t.Error(err)
				return
			}
			if err := client.Run(t.Context(), ssh.Command{Line: "true"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if server.Accepted() != 1 {
		t.Errorf("%d connections", server.Accepted())
	}

	other := server.Target()
	other.Auth.Agent = true
	t.Setenv("SSH_AUTH_SOCK", startAgent(t, sshtest.NewKey(t, "ssh-ed25519")))
	if _, err := pool.Connect(t.Context(), other); err != nil {
		t.Error(err)
	}
	if server.Accepted() != 2 {
		t.Error("two targets that differ in credentials share a connection")
	}
}

func TestLostConnectionIsReplaced(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.Exit {
		if s.Command == "drop" {
			s.Drop()
		}
		return sshtest.Exit{}
	}})
	pool := newPool(t, ssh.Options{})
	for range 5 {
		client, err := pool.Connect(t.Context(), server.Target())
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Run(t.Context(), ssh.Command{Line: "work"}); err != nil {
			t.Fatal(err)
		}
		if err := client.Run(t.Context(), ssh.Command{Line: "drop"}); !errors.Is(err, ssh.ErrDisconnected) {
			t.Fatal(err)
		}
	}
	if server.Accepted() != 5 {
		t.Errorf("%d connections", server.Accepted())
	}
}

func TestHostThatFallsSilentIsGivenUp(t *testing.T) {
	t.Parallel()
	running := make(chan struct{}, 1)
	server := sshtest.Start(t, sshtest.Config{Handler: func(ctx context.Context, _ *sshtest.Session) sshtest.Exit {
		running <- struct{}{}
		<-ctx.Done()
		return sshtest.Exit{}
	}})
	client := connect(t, ssh.Options{KeepaliveInterval: 100 * time.Millisecond}, server.Target())
	go func() {
		<-running
		server.Freeze()
	}()
	err := client.Run(t.Context(), ssh.Command{Line: "wait"})
	if !errors.Is(err, ssh.ErrDisconnected) {
		t.Fatal(err)
	}
	mustContain(t, err, "it has sent nothing for 300ms")
}

func TestQuietHostIsNotGivenUp(t *testing.T) {
	t.Parallel()
	client := connect(t, ssh.Options{KeepaliveInterval: 150 * time.Millisecond, KeepaliveMisses: 5}, sshtest.Start(t, sshtest.Config{}).Target())
	if err := client.Run(t.Context(), ssh.Command{Line: "sleep 1.5"}); err != nil {
		t.Error(err)
	}
}

func TestIPv6(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{Listen: "[::1]:0"})
	target := server.Target()
	target.Address = "0:0:0:0:0:0:0:1"
	client := connect(t, ssh.Options{}, target)
	if err := client.Run(t.Context(), ssh.Command{Line: "true"}); err != nil {
		t.Error(err)
	}
	mustContain(t, errors.New(client.String()), "@"+server.Endpoint())
}

func TestClosedPool(t *testing.T) {
	running := make(chan struct{}, 1)
	server := sshtest.Start(t, sshtest.Config{Handler: func(ctx context.Context, _ *sshtest.Session) sshtest.Exit {
		running <- struct{}{}
		<-ctx.Done()
		return sshtest.Exit{}
	}})
	silent := targetAt(t, listen(t, hear))
	pool := newPool(t, ssh.Options{})
	client, err := pool.Connect(t.Context(), server.Target())
	if err != nil {
		t.Fatal(err)
	}
	command, attempt := make(chan error, 1), make(chan error, 1)
	go func() { command <- client.Run(t.Context(), ssh.Command{Line: "wait"}) }()
	go func() {
		_, err := pool.Connect(t.Context(), silent)
		attempt <- err
	}()
	<-running
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
	if err := <-command; !errors.Is(err, ssh.ErrDisconnected) {
		t.Errorf("running command: %v", err)
	}
	mustContain(t, <-attempt, "pool is closed")
	_, err = pool.Connect(t.Context(), server.Target())
	mustContain(t, err, "pool is closed")
}

func TestClosedPoolLeavesNothingBehind(t *testing.T) {
	bastion := sshtest.Start(t, sshtest.Config{Forward: sshtest.ForwardTCP})
	server := sshtest.Start(t, sshtest.Config{})
	silent := targetAt(t, listen(t, hear))
	before := runtime.NumGoroutine()

	pool := ssh.NewPool(ssh.Options{})
	if _, err := pool.Connect(t.Context(), server.Target()); err != nil {
		t.Fatal(err)
	}
	client, err := pool.Connect(t.Context(), behind(bastion, server))
	if err != nil {
		t.Fatal(err)
	}
	stdin, speak := io.Pipe()
	command := make(chan error, 1)
	go func() { command <- client.Run(t.Context(), ssh.Command{Line: "cat", Stdin: stdin}) }()
	for server.PeakSessions() == 0 {
		time.Sleep(time.Millisecond)
	}
	through := bastion.Target()
	silent.Bastion = &through
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := pool.Connect(ctx, silent); err == nil {
		t.Error("connected to a silent host")
	}
	_ = pool.Close()
	if err := <-command; !errors.Is(err, ssh.ErrDisconnected) {
		t.Error(err)
	}
	_ = speak.Close()
	_ = stdin.Close()

	deadline := time.Now().Add(20 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestValidateTarget(t *testing.T) {
	good := sshtest.Start(t, sshtest.Config{}).Target()
	for name, test := range map[string]struct {
		edit func(*ssh.Target)
		says string
	}{
		"no address":     {func(t *ssh.Target) { t.Address = "" }, "address is empty"},
		"with port":      {func(t *ssh.Target) { t.Address = "10.0.0.1:22" }, "set user and port on their own"},
		"with user":      {func(t *ssh.Target) { t.Address = "root@10.0.0.1" }, "set user and port on their own"},
		"in brackets":    {func(t *ssh.Target) { t.Address = "[::1]" }, "no IP address"},
		"port":           {func(t *ssh.Target) { t.Port = 70000 }, "1 to 65535"},
		"no user":        {func(t *ssh.Target) { t.User = "" }, "user is empty"},
		"bastion's user": {func(t *ssh.Target) { t.Bastion = &ssh.Target{Address: "b", Auth: t.Auth} }, "bastion: user is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			target := good
			test.edit(&target)
			mustContain(t, target.Validate(), test.says)
		})
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	// All findings at once.
	mustContain(t, ssh.Target{Port: -1}.Validate(), "address", "port", "user", "private_key")
}
