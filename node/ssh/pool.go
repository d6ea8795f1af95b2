package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Pool keeps one connection to each target for as long as an operation lasts. Its methods may be
// called concurrently.
type Pool struct {
	opts            Options
	credentialCache credentialCache

	mu     sync.Mutex
	slots  map[digest]*slot
	closed bool
}

// slot is a connection in the making, or made.
type slot struct {
	direct bool          // no bastion is in the way
	looks  bool          // the attempt is that of callers who only look
	done   chan struct{} // closed when the attempt is over and client or err is set
	client *Client
	err    error
	failed time.Time // when the host was found unreachable; zero: it was not, or nobody waited for that

	waiting int // callers that wait for done; guarded by Pool.mu
	cancel  context.CancelCauseFunc
}

// NewPool makes an empty pool.
func NewPool(opts Options) *Pool {
	return &Pool{opts: opts.withDefaults(), slots: map[digest]*slot{}}
}

// errLooked is why an attempt ends that only one who looks still waited for.
var errLooked = errors.New("nobody waits for it any more")

// errClosed is the answer of a pool whose operation is over.
var errClosed = errors.New("the connection pool is closed")

// Connect returns the connection to a target: the one that stands, or a new one. Callers that ask for
// the same target at once share one attempt. A bastion is a target like any other, so all targets
// behind it share its connection.
//
// A host that refuses or drops connections, or does not answer, is tried again until
// Options.ConnectTimeout has passed; a login that is refused, or a host key that is not the right
// one, is final. The error names the hop that failed.
func (p *Pool) Connect(ctx context.Context, t Target) (*Client, error) {
	return p.connect(ctx, t, false)
}

// Look is Connect for a caller who only looks, and can go on without an answer. A host that refuses connections, or
// to which there is no way, is given up after Options.RefusalGrace, and one that is silent after Options.LookTimeout.
// A host that was asked in vain a moment ago is not asked again.
func (p *Pool) Look(ctx context.Context, t Target) (*Client, error) {
	return p.connect(ctx, t, true)
}

func (p *Pool) connect(ctx context.Context, t Target, looks bool) (*Client, error) {
	s, err := p.join(ctx, t, looks)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t, err)
	}
	var over <-chan time.Time
	if looks && !s.looks { // it shares the attempt of one who waits for longer
		timer := time.NewTimer(p.opts.LookTimeout)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-s.done:
		if s.err != nil && s.looks && !looks && ctx.Err() == nil {
			return p.connect(ctx, t, looks) // who needs the host waits for longer than those whose attempt it shared
		}
		return s.client, s.err
	case <-over:
		p.leave(s, errLooked)
		return nil, fmt.Errorf("connect to %s: %w: no answer within %s", t, ErrUnreachable, p.opts.LookTimeout)
	case <-ctx.Done():
	}
	err = fmt.Errorf("connect to %s: %w", t, ended(ctx))
	if alone := p.leave(s, ended(ctx)); alone && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		<-s.done // it was told to stop, and ends at once with what it met last
		err = errors.Join(s.err, err)
	}
	return nil, err
}

// join finds the slot of a target, and starts an attempt where none is under way and no connection stands.
func (p *Pool) join(ctx context.Context, t Target, looks bool) (*slot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	id := t.digest()
	if s := p.slots[id]; s != nil && (s.usable() || looks && s.failedWithin(p.opts.RememberFailure)) {
		s.waiting++
		return s, nil
	}
	// The attempt outlives the caller that starts it as long as others wait for it.
	attempt, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &slot{direct: t.Bastion == nil, looks: looks, done: make(chan struct{}), waiting: 1, cancel: cancel}
	p.slots[id] = s
	go func() {
		defer cancel(nil)
		client, err := p.open(attempt, t, looks)
		if err != nil {
			err = fmt.Errorf("connect to %s: %w", t, err)
		}
		if errors.Is(err, ErrUnreachable) && attempt.Err() == nil {
			s.failed = time.Now()
		}
		p.settle(s, client, err)
	}()
	return s, nil
}

// usable reports whether a slot leads, or may still lead, to a connection.
func (s *slot) usable() bool {
	select {
	case <-s.done:
		return s.client != nil && s.client.alive()
	default:
		return s.waiting > 0
	}
}

// failedWithin reports whether the host was found unreachable so short a time ago.
func (s *slot) failedWithin(memory time.Duration) bool {
	select {
	case <-s.done:
		return !s.failed.IsZero() && time.Since(s.failed) < memory
	default:
		return false
	}
}

// leave takes a waiting caller off a slot, and cancels the attempt when nobody is left. It reports
// whether nobody is.
func (p *Pool) leave(s *slot, cause error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.waiting--
	if s.waiting == 0 {
		s.cancel(cause)
	}
	return s.waiting == 0
}

// settle makes the outcome of an attempt known.
func (p *Pool) settle(s *slot, client *Client, err error) {
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
			continue // settle closes what it may still bring
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

	// Closing a connection behind a bastion sends a message through it, which blocks where the
	// bastion has stalled; so the bastions go first.
	for _, client := range append(direct, behind...) {
		client.end(errClosed)
	}
	return nil
}
