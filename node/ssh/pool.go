package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Pool keeps one connection to each target for the duration of an operation. Its methods may be called concurrently.
type Pool struct {
	opts            Options
	credentialCache credentialCache

	mu     sync.Mutex
	slots  map[digest]*slot
	closed bool
}

// slot is a connection, or an attempt to make one.
type slot struct {
	direct   bool          // without a bastion
	optional bool          // the attempt was started by Look
	done     chan struct{} // closed when the attempt has ended and client or err is set
	client   *Client
	err      error
	failed   time.Time // when the host was found unreachable; zero: it was not, or no caller waited

	waiting int // callers waiting for done; guarded by Pool.mu
	cancel  context.CancelCauseFunc
}

// NewPool returns an empty pool.
func NewPool(opts Options) *Pool {
	return &Pool{opts: opts.withDefaults(), slots: map[digest]*slot{}}
}

// errAttemptAbandoned ends an attempt for which no caller waits any more.
var errAttemptAbandoned = errors.New("no caller waits for the connection any more")

// errClosed is returned by a closed pool.
var errClosed = errors.New("the connection pool is closed")

// Connect returns the connection to a target: the existing one, or a new one. Concurrent callers for the same target
// share one attempt. A bastion is a target like any other, so all targets behind it share its connection.
//
// A host that refuses or drops connections, or does not answer, is retried until Options.ConnectTimeout; a refused
// login or a wrong host key is final. The error names the hop that failed.
func (p *Pool) Connect(ctx context.Context, t Target) (*Client, error) {
	return p.connect(ctx, t, false)
}

// Look is Connect for a caller that can continue without the host. It gives up after Options.RefusalGrace on a host
// that refuses connections or has no route, and after Options.LookTimeout on a silent one. It does not retry a host
// that failed a moment ago.
func (p *Pool) Look(ctx context.Context, t Target) (*Client, error) {
	return p.connect(ctx, t, true)
}

func (p *Pool) connect(ctx context.Context, t Target, optional bool) (*Client, error) {
	s, err := p.join(ctx, t, optional)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t, err)
	}
	var over <-chan time.Time
	if optional && !s.optional { // the shared attempt may last longer
		timer := time.NewTimer(p.opts.LookTimeout)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-s.done:
		if s.err != nil && s.optional && !optional && ctx.Err() == nil {
			return p.connect(ctx, t, optional) // Connect waits longer than a Look whose attempt it shared
		}
		return s.client, s.err
	case <-over:
		p.leave(s, errAttemptAbandoned)
		return nil, fmt.Errorf("connect to %s: %w: no answer within %s", t, ErrUnreachable, p.opts.LookTimeout)
	case <-ctx.Done():
	}
	err = fmt.Errorf("connect to %s: %w", t, contextError(ctx))
	if alone := p.leave(s, contextError(ctx)); alone && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		<-s.done // it was canceled, and ends at once with its last error
		err = errors.Join(s.err, err)
	}
	return nil, err
}

// join returns the slot of a target, and starts an attempt if there is neither a connection nor an attempt.
func (p *Pool) join(ctx context.Context, t Target, optional bool) (*slot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if ctx.Err() != nil {
		return nil, contextError(ctx)
	}
	id := t.digest()
	if s := p.slots[id]; s != nil && (s.usable() || optional && s.failedWithin(p.opts.RememberFailure)) {
		s.waiting++
		return s, nil
	}
	// The attempt outlives the caller that started it while others wait for it.
	attempt, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &slot{direct: t.Bastion == nil, optional: optional, done: make(chan struct{}), waiting: 1, cancel: cancel}
	p.slots[id] = s
	go func() {
		defer cancel(nil)
		client, err := p.open(attempt, t, optional)
		if err != nil {
			err = fmt.Errorf("connect to %s: %w", t, err)
		}
		if errors.Is(err, ErrUnreachable) && attempt.Err() == nil {
			s.failed = time.Now()
		}
		p.finish(s, client, err)
	}()
	return s, nil
}

// usable reports whether a slot has, or may still get, a connection.
func (s *slot) usable() bool {
	select {
	case <-s.done:
		return s.client != nil && s.client.alive()
	default:
		return s.waiting > 0
	}
}

// failedWithin reports whether the host was found unreachable less than memory ago.
func (s *slot) failedWithin(memory time.Duration) bool {
	select {
	case <-s.done:
		return !s.failed.IsZero() && time.Since(s.failed) < memory
	default:
		return false
	}
}

// leave removes a waiting caller from a slot, and cancels the attempt if none is left. It reports whether none is
// left.
func (p *Pool) leave(s *slot, cause error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.waiting--
	if s.waiting == 0 {
		s.cancel(cause)
	}
	return s.waiting == 0
}

// finish publishes the result of an attempt.
func (p *Pool) finish(s *slot, client *Client, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed && client != nil {
		client.end(errClosed)
		client, err = nil, errClosed
	}
	s.client, s.err = client, err
	close(s.done)
}

// Close ends all connections and attempts. Commands that still run end with ErrDisconnected.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	var direct, behind []*Client
	for _, s := range p.slots {
		s.cancel(errClosed)
		select {
		case <-s.done:
		default:
			continue // finish closes what it may still bring
		}
		switch {
		case s.client == nil:
		case s.direct:
			direct = append(direct, s.client)
		default:
			behind = append(behind, s.client)
		}
	}
	clear(p.slots)
	p.mu.Unlock()

	// Closing a connection behind a bastion sends a message through it, which blocks if the bastion has stalled. So
	// bastions are closed first.
	for _, client := range append(direct, behind...) {
		client.end(errClosed)
	}
	return nil
}
