package ssh_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

// TestLookGivesUpSoon holds that Look gives up a host that refuses or is silent in a fraction of the time of Connect:
// each case would take ConnectTimeout's minute.
func TestLookGivesUpSoon(t *testing.T) {
	failing := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(_ context.Context, network, _ string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
	}
	for name, test := range map[string]struct {
		dial func(context.Context, string, string) (net.Conn, error)
		at   net.Addr
		says string
	}{
		"refused":  {at: closed, says: "connection refused"},
		"no route": {dial: failing(syscall.EHOSTUNREACH), at: closed, says: "no route to host"},
		"no answer": {dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, at: closed, says: "given up after 300ms"},
		"silent": {at: listen(t, hear), says: "given up after 300ms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := targetAt(t, test.at)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := newPool(t, ssh.Options{
				ConnectTimeout: time.Minute, AttemptTimeout: time.Minute, LookTimeout: 300 * time.Millisecond, RefusalGrace: 50 * time.Millisecond,
				RetryDelay: time.Millisecond, Dial: test.dial,
			}).Look(ctx, target)
			if !errors.Is(err, ssh.ErrUnreachable) || ctx.Err() != nil {
				t.Fatalf("not ErrUnreachable, or not soon: %v", err)
			}
			mustContain(t, err, target.String(), test.says)
		})
	}
}

// TestLookThroughABastionThatIsDown holds that Look does not wait for the bastion either.
func TestLookThroughABastionThatIsDown(t *testing.T) {
	target, bastion := sshtest.Start(t, sshtest.Config{}).Target(), targetAt(t, closed)
	target.Bastion = &bastion
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := newPool(t, ssh.Options{ConnectTimeout: time.Minute, RefusalGrace: 10 * time.Millisecond, RetryDelay: time.Millisecond}).Look(ctx, target)
	if !errors.Is(err, ssh.ErrUnreachable) || ctx.Err() != nil {
		t.Fatalf("not ErrUnreachable, or not soon: %v", err)
	}
	mustContain(t, err, "bastion", bastion.String())
}

// TestLookBearsAShortRefusal holds that Look does not give up a host whose sshd is restarting.
func TestLookBearsAShortRefusal(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	var dials atomic.Int32
	pool := newPool(t, ssh.Options{RetryDelay: time.Millisecond, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) <= 3 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	if _, err := pool.Look(t.Context(), server.Target()); err != nil {
		t.Error(err)
	}
}

// TestLookListensToAHostThatTalks holds that only silence counts against a host, and not how long it takes: its
// connection carries a byte every few milliseconds, and the whole handshake takes longer than LookTimeout.
func TestLookListensToAHostThatTalks(t *testing.T) {
	t.Parallel()
	server := sshtest.Start(t, sshtest.Config{})
	const silence = 2 * time.Second
	pool := newPool(t, ssh.Options{LookTimeout: silence, AttemptTimeout: time.Minute, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &thin{Conn: conn, until: time.Now().Add(3 * silence)}, err
	}})
	begun := time.Now()
	if _, err := pool.Look(t.Context(), server.Target()); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < silence {
		t.Errorf("it took %s: the line was not thin", took)
	}
}

// thin is a connection that carries little, until a time.
type thin struct {
	net.Conn
	until time.Time
}

func (c *thin) Read(p []byte) (int, error) {
	if time.Now().Before(c.until) {
		time.Sleep(3 * time.Millisecond)
		p = p[:min(len(p), 2)]
	}
	return c.Conn.Read(p)
}

// TestWhoLooksDoesNotAskAgain holds that Look does not try a host again that has just failed, and that Connect does.
func TestWhoLooksDoesNotAskAgain(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	var dials atomic.Int32
	var up atomic.Bool
	options := ssh.Options{RetryDelay: time.Millisecond, RefusalGrace: time.Millisecond, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		if !up.Load() {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	pool := newPool(t, options)
	_, first := pool.Look(t.Context(), server.Target())
	asked := dials.Load()
	up.Store(true)
	for range 3 {
		if _, err := pool.Look(t.Context(), server.Target()); first == nil || err == nil || err.Error() != first.Error() {
			t.Errorf("the answer was %v, and is %v", first, err)
		}
	}
	if dials.Load() != asked {
		t.Errorf("%d dials, and %d for the first look", dials.Load(), asked)
	}
	if _, err := pool.Connect(t.Context(), server.Target()); err != nil {
		t.Errorf("who needs it does not get it: %v", err)
	}
	if _, err := pool.Look(t.Context(), server.Target()); err != nil {
		t.Errorf("it is connected, and who looks does not see it: %v", err)
	}

	up.Store(false)
	options.RememberFailure = time.Nanosecond
	pool = newPool(t, options)
	if _, err := pool.Look(t.Context(), server.Target()); err == nil {
		t.Fatal("connected to a host that refuses")
	}
	up.Store(true)
	if _, err := pool.Look(t.Context(), server.Target()); err != nil {
		t.Errorf("after a while it is asked again: %v", err)
	}
}

// TestWhoNeedsAHostOutlastsWhoLooks holds that Look and Connect, if they share an attempt, each wait as long as they
// would alone.
func TestWhoNeedsAHostOutlastsWhoLooks(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	reached := make(chan struct{}, 100)
	var up atomic.Bool
	pool := newPool(t, ssh.Options{LookTimeout: 200 * time.Millisecond, AttemptTimeout: 100 * time.Millisecond, RetryDelay: time.Millisecond,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if up.Load() {
				return new(net.Dialer).DialContext(ctx, network, address)
			}
			select {
			case reached <- struct{}{}:
			default:
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}})
	looked, needed := make(chan error, 1), make(chan error, 1)
	look := func() {
		_, err := pool.Look(t.Context(), server.Target())
		looked <- err
	}
	go look()
	<-reached
	go func() {
		_, err := pool.Connect(t.Context(), server.Target())
		needed <- err
	}()
	if err := <-looked; !errors.Is(err, ssh.ErrUnreachable) {
		t.Errorf("who looks: %v", err)
	}
	for range 2 {
		<-reached
	}
	go look() // shares Connect's attempt, and ends before it
	if err := <-looked; !errors.Is(err, ssh.ErrUnreachable) {
		t.Errorf("who looks: %v", err)
	}
	select {
	case err := <-needed:
		t.Fatalf("who needs it has given up: %v", err)
	default:
	}
	up.Store(true)
	if err := <-needed; err != nil {
		t.Errorf("who needs it: %v", err)
	}
}
