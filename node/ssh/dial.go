package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// dialer opens a byte stream to a host:port.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// transient marks a failure after which a retry may succeed.
type transient struct{ error }

func (t transient) Unwrap() error { return t.error }

// open connects to a target and retries failures that may pass, for longer if the caller needs the host than if the
// connection is optional.
func (p *Pool) open(ctx context.Context, t Target, optional bool) (*Client, error) {
	d, err := t.read(p.credentialCache.load)
	if err != nil {
		return nil, err
	}
	// The bastion has its own timeouts, so the time until it is connected does not count here.
	if _, err := p.route(ctx, t, optional); err != nil {
		return nil, err
	}
	begun, limit := time.Now(), p.opts.ConnectTimeout
	if optional {
		limit = p.opts.LookTimeout
	}
	whole := ctx
	ctx, cancel := withLimit(ctx, limit, fmt.Errorf("given up after %s", limit))
	defer cancel()
	if !optional {
		whole = ctx
	}

	var before error
	for pause := p.opts.RetryDelay; ; pause = min(2*pause, 8*p.opts.RetryDelay) {
		client, err := p.attempt(whole, ctx, d, optional)
		if err == nil {
			return client, nil
		}
		if ctx.Err() != nil && before != nil {
			err = before // the last attempt was interrupted, and the error before says more
		}
		var again transient
		if !errors.As(err, &again) {
			return nil, err
		}
		before = err
		if optional && refusesAtOnce(err) && time.Since(begun)+pause > p.opts.RefusalGrace {
			return nil, err
		}
		select {
		case <-ctx.Done():
			if why := context.Cause(ctx); !errors.Is(err, why) {
				err = fmt.Errorf("%w (%w)", err, why)
			}
			return nil, err
		case <-time.After(pause):
		}
	}
}

// route returns the dialer for a target: its connected bastion, or the pool's own.
func (p *Pool) route(ctx context.Context, t Target, optional bool) (dialer, error) {
	if t.Bastion == nil {
		return p.opts.Dial, nil
	}
	bastion, err := p.connect(ctx, *t.Bastion, optional)
	if err != nil {
		return nil, bastionError{fmt.Errorf("bastion: %w", err)}
	}
	return bastion.forward, nil
}

// attempt dials, verifies the host and logs in, once. It ends with patience if the host has sent nothing by then.
func (p *Pool) attempt(ctx, patience context.Context, d loadedTarget, optional bool) (*Client, error) {
	ctx, cancel := withLimit(ctx, p.opts.AttemptTimeout, fmt.Errorf("no answer within %s", p.opts.AttemptTimeout))
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	l := &link{}
	stop := context.AfterFunc(patience, func() {
		if l.received.Load() == 0 {
			giveUp(context.Cause(patience))
		}
	})
	defer stop()

	dial, err := p.route(ctx, d.Target, optional) // again: the bastion's connection may be the one that was lost
	if err != nil {
		return nil, err
	}
	h, err := newHandshake(ctx, d, p.opts)
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, "tcp", d.endpoint())
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("dial %s: %w", d.endpoint(), context.Cause(ctx))
		}
		return nil, dialFailure(err)
	}
	l.Conn = conn
	connection, err := h.run(ctx, l)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return newClient(d.String(), connection, l, p.opts), nil
}

// withLimit is context.WithTimeoutCause without a visible deadline. A dialer that sees a deadline gives up by its own
// clock, possibly before the context ends, and then it cannot be told that the attempt was interrupted.
func withLimit(ctx context.Context, limit time.Duration, cause error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(cause) })
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// dialFailure explains a failed dial, and marks it transient if it may pass.
func dialFailure(err error) error {
	var refusal *gossh.OpenChannelError
	if errors.As(err, &refusal) && refusal.Reason != gossh.ConnectionFailed {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	err = fmt.Errorf("%w: %w: check the address, the port, firewalls, and that sshd runs there", ErrUnreachable, err)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound || errors.Is(err, syscall.ENETUNREACH) {
		return err
	}
	return transient{err}
}

// refusesAtOnce tells whether a dial was answered with a refusal: nothing listens there, or there is no route.
func refusesAtOnce(err error) bool {
	var refusal *gossh.OpenChannelError // from a bastion, which gives no details
	return errors.As(err, &refusal) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH)
}

// forward opens a stream from this host, a bastion, to another host.
func (c *Client) forward(ctx context.Context, network, address string) (net.Conn, error) {
	c.nagleOnce.Do(func() { go c.disableNagle(context.WithoutCancel(ctx)) })
	conn, err := c.ssh.DialContext(ctx, network, address)
	var refusal *gossh.OpenChannelError
	switch {
	case err == nil:
		return conn, nil
	case errors.As(err, &refusal) && refusal.Reason == gossh.Prohibited:
		return nil, bastionError{fmt.Errorf("bastion %s refuses to forward to %s: %w: allow it in its sshd (AllowTcpForwarding, PermitOpen)", c, address, err)}
	}
	return nil, fmt.Errorf("bastion %s cannot reach %s: %w", c, address, err)
}

// disableNagle runs one command on a bastion beside its first use. sshd sets TCP_NODELAY on a connection only when its
// first session starts, and forwarded exchanges would otherwise wait up to 40 ms for delayed acknowledgements. Nothing
// depends on the command, so the bastion may refuse it, or run a forced command instead.
func (c *Client) disableNagle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = c.Run(ctx, Command{Line: "true"})
}
