package ssh

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"net"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// somewhere is a valid target that is never really dialed.
func somewhere(t *testing.T) Target {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	host, err := gossh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return Target{
		Address: "192.0.2.1", User: "root",
		Auth:  Auth{PrivateKey: secret.New(string(pem.EncodeToMemory(block)))},
		Trust: Trust{HostKey: marshalKey(host)},
	}
}

func TestAttemptLastsAsLongAsSomebodyWaits(t *testing.T) {
	final := &net.DNSError{Err: "no such host", IsNotFound: true}
	answer, cut := make(chan error), make(chan struct{})
	pool := NewPool(Options{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case err := <-answer:
			return nil, err
		case <-ctx.Done():
			close(cut)
			return nil, ctx.Err()
		}
	}})
	defer pool.Close()
	target := somewhere(t)
	waiting := func(n int) {
		for {
			pool.mu.Lock()
			s := pool.slots[target.digest()]
			there := s != nil && s.waiting == n && s.client == nil && s.err == nil
			pool.mu.Unlock()
			if there {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	connect := func() (<-chan error, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() {
			_, err := pool.Connect(ctx, target)
			result <- err
		}()
		return result, cancel
	}

	first, leave := connect()
	waiting(1)
	second, cancel := connect()
	defer cancel()
	waiting(2)
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves gets %v", err)
	}
	select {
	case answer <- final:
	case <-cut:
		t.Fatal("the attempt was cut off while somebody waited for it")
	}
	if err := <-second; !errors.Is(err, final) {
		t.Errorf("who stays gets %v", err)
	}

	third, leave := connect()
	waiting(1)
	leave()
	if err := <-third; !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves gets %v", err)
	}
	<-cut
}

func TestAttemptThatIsCutShortHidesNothing(t *testing.T) {
	refused := errors.New("connection refused")
	first := true
	pool := NewPool(Options{ConnectTimeout: time.Second, RetryDelay: time.Millisecond,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if first {
				first = false
				return nil, refused
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}})
	defer pool.Close()
	_, err := pool.Connect(t.Context(), somewhere(t))
	if !errors.Is(err, refused) || !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}
