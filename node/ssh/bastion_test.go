package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

func behind(bastion *sshtest.Server, server *sshtest.Server) ssh.Target {
	target, through := server.Target(), bastion.Target()
	target.Bastion = &through
	return target
}

func TestBastionIsSharedByTheHostsBehindIt(t *testing.T) {
	bastion := sshtest.Start(t, sshtest.Config{Forward: sshtest.ForwardTCP})
	pool := newPool(t, ssh.Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != bastion.Endpoint() {
			t.Errorf("dialed %s past the bastion", address)
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	var all sync.WaitGroup
	for range 5 {
		server := sshtest.Start(t, sshtest.Config{})
		all.Go(func() {
			client, err := pool.Connect(t.Context(), behind(bastion, server))
			if err != nil {
				t.Error(err)
				return
			}
			sent := bytes.Repeat([]byte("x"), 1<<20)
			var stdout bytes.Buffer
			if err := client.Run(t.Context(), ssh.Command{Line: "cat", Stdin: bytes.NewReader(sent), Stdout: &stdout}); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(stdout.Bytes(), sent) {
				t.Errorf("%d bytes came back", stdout.Len())
			}
		})
	}
	all.Wait()
	if bastion.Accepted() != 1 {
		t.Errorf("%d connections to the bastion", bastion.Accepted())
	}
}

func TestTwoBastionsInARow(t *testing.T) {
	outer, inner := sshtest.Start(t, sshtest.Config{Forward: sshtest.ForwardTCP}), sshtest.Start(t, sshtest.Config{Forward: sshtest.ForwardTCP})
	target := sshtest.Start(t, sshtest.Config{}).Target()
	middle := behind(outer, inner)
	target.Bastion = &middle
	client := connect(t, ssh.Options{}, target)
	if err := client.Run(t.Context(), ssh.Command{Line: "true"}); err != nil {
		t.Error(err)
	}
}

// failure returns why a host behind a bastion is not reached. Where this machine is too busy for one of them to answer
// in time, they get more.
func failure(t *testing.T, target ssh.Target) error {
	t.Helper()
	for limits := impatient(); ; limits.ConnectTimeout, limits.AttemptTimeout = 4*limits.ConnectTimeout, 4*limits.AttemptTimeout {
		_, err := newPool(t, limits).Connect(t.Context(), target)
		if err == nil || !strings.Contains(err.Error(), "no answer within") || limits.AttemptTimeout > time.Minute {
			return err
		}
	}
}

func TestErrorsNameTheHop(t *testing.T) {
	bastion := sshtest.Start(t, sshtest.Config{Forward: sshtest.ForwardTCP})
	forbidding := sshtest.Start(t, sshtest.Config{})
	server := sshtest.Start(t, sshtest.Config{})
	elsewhere := sshtest.Start(t, sshtest.Config{})
	down := targetAt(t, closed)

	for name, test := range map[string]struct {
		target func() ssh.Target
		want   error
		says   []string
	}{
		"wrong key of the bastion": {func() ssh.Target {
			target := behind(bastion, server)
			target.Bastion.Trust = elsewhere.Target().Trust
			return target
		}, ssh.ErrHostKeyMismatch, []string{"bastion: connect to tester@" + bastion.Endpoint(), bastion.Endpoint() + " presents"}},
		"wrong key of the target": {func() ssh.Target {
			target := behind(bastion, server)
			target.Trust = elsewhere.Target().Trust
			return target
		}, ssh.ErrHostKeyMismatch, []string{"connect to tester@" + server.Endpoint() + " (through tester@" + bastion.Endpoint() + ")", server.Endpoint() + " presents"}},
		"bastion lets nobody in": {func() ssh.Target {
			target := behind(bastion, server)
			target.Bastion.Auth = elsewhere.Target().Auth
			return target
		}, ssh.ErrAuth, []string{"bastion: connect to tester@" + bastion.Endpoint()}},
		"target lets nobody in": {func() ssh.Target {
			target := behind(bastion, server)
			target.Auth = elsewhere.Target().Auth
			return target
		}, ssh.ErrAuth, []string{"connect to tester@" + server.Endpoint()}},
		"no trust in the bastion": {func() ssh.Target {
			target := behind(bastion, server)
			target.Bastion.Trust = ssh.Trust{}
			return target
		}, ssh.ErrHostKeyUnknown, []string{"bastion: connect to tester@" + bastion.Endpoint(), "SHA256:", "nothing is configured that vouches for any host"}},
		"forwarding forbidden": {func() ssh.Target { return behind(forbidding, server) },
			ssh.ErrUnreachable, []string{"bastion tester@" + forbidding.Endpoint() + " refuses to forward to " + server.Endpoint(), "AllowTcpForwarding"}},
		"target down": {func() ssh.Target {
			target, through := down, bastion.Target()
			target.Bastion = &through
			return target
		}, ssh.ErrUnreachable, []string{"bastion tester@" + bastion.Endpoint() + " cannot reach", "connection refused"}},
		"bastion down": {func() ssh.Target {
			target, through := server.Target(), down
			target.Bastion = &through
			return target
		}, ssh.ErrUnreachable, []string{"bastion: connect to tester@", "connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := failure(t, test.target())
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			mustContain(t, err, test.says...)
		})
	}
}

func TestLostBastionIsReplaced(t *testing.T) {
	bastion := sshtest.Start(t, sshtest.Config{Forward: sshtest.ForwardTCP})
	running := make(chan struct{}, 1)
	server := sshtest.Start(t, sshtest.Config{Handler: func(ctx context.Context, s *sshtest.Session) sshtest.Exit {
		if s.Command == "wait" {
			running <- struct{}{}
			<-ctx.Done()
		}
		return sshtest.Exit{}
	}})
	pool := newPool(t, ssh.Options{})
	client, err := pool.Connect(t.Context(), behind(bastion, server))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-running
		bastion.Drop()
	}()
	if err := client.Run(t.Context(), ssh.Command{Line: "wait"}); !errors.Is(err, ssh.ErrDisconnected) {
		t.Errorf("not ErrDisconnected: %v", err)
	}
	client, err = pool.Connect(t.Context(), behind(bastion, server))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Run(t.Context(), ssh.Command{Line: "work"}); err != nil {
		t.Error(err)
	}
	if bastion.Accepted() != 2 {
		t.Errorf("%d connections to the bastion", bastion.Accepted())
	}
}

func TestSilentTargetBehindABastion(t *testing.T) {
	t.Parallel()
	bastion := sshtest.Start(t, sshtest.Config{Forward: sshtest.ForwardTCP})
	target := targetAt(t, listen(t, hear))
	through := bastion.Target()
	target.Bastion = &through
	_, err := newPool(t, impatient()).Connect(t.Context(), target)
	if !errors.Is(err, ssh.ErrUnreachable) {
		t.Error(err)
	}
	mustContain(t, err, "the handshake stops")
}

func TestSilentBastionEndsWhatRunsThroughIt(t *testing.T) {
	t.Parallel()
	bastion := sshtest.Start(t, sshtest.Config{Forward: sshtest.ForwardTCP})
	running := make(chan struct{}, 1)
	server := sshtest.Start(t, sshtest.Config{Handler: func(ctx context.Context, _ *sshtest.Session) sshtest.Exit {
		running <- struct{}{}
		<-ctx.Done()
		return sshtest.Exit{}
	}})
	pool := newPool(t, ssh.Options{KeepaliveInterval: 100 * time.Millisecond})
	client, err := pool.Connect(t.Context(), behind(bastion, server))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-running
		bastion.Freeze()
	}()
	if err := client.Run(t.Context(), ssh.Command{Line: "wait"}); !errors.Is(err, ssh.ErrDisconnected) {
		t.Errorf("not ErrDisconnected: %v", err)
	}
}
