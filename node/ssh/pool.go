package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Pool keeps one connection to each target for as long as an operation lasts. Its methods may be
// called concurrently.
type Pool struct {
	opts   Options
	wallet wallet

	mu     sync.Mutex
	slots  map[digest]*slot
	closed bool
}

// slot is a connection in the making, or made.
type slot struct {
	direct bool          // no bastion is in the way
	done   chan struct{} // closed when the attempt is over and client or err is set
	client *Client
	err    error

	waiting int // callers that wait for done; guarded by Pool.mu
	cancel  context.CancelCauseFunc
}

// NewPool makes an empty pool.
func NewPool(opts Options) *Pool {
	return &Pool{opts: opts.withDefaults(), slots: map[digest]*slot{}}
}

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
	s, err := p.join(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", t, err)
	}
	select {
	case <-s.done:
		return s.client, s.err
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
func (p *Pool) join(ctx context.Context, t Target) (*slot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	id := t.digest()
	if s := p.slots[id]; s != nil && s.usable() {
		s.waiting++
		return s, nil
	}
	// The attempt outlives the caller that starts it as long as others wait for it.
	attempt, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &slot{direct: t.Bastion == nil, done: make(chan struct{}), waiting: 1, cancel: cancel}
	p.slots[id] = s
	go func() {
		defer cancel(nil)
		client, err := p.open(attempt, t)
		if err != nil {
			err = fmt.Errorf("connect to %s: %w", t, err)
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
