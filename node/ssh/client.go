package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// Client is a logged-in connection to one host. Its commands may run concurrently. The Pool that made it closes it.
type Client struct {
	name     string // of the target, for errors
	ssh      *gossh.Client
	link     *link
	sessions *sessions

	ending sync.Once
	done   chan struct{} // closed when the connection has ended
	cause  error         // why it has ended; set before done is closed

	nagleOnce sync.Once // see forward
}

// errGone stands for the end of the connection until it is known what that means for the caller.
var errGone = errors.New("the connection is gone")

func newClient(name string, connection *gossh.Client, l *link, opts Options) *Client {
	c := &Client{
		name:     name,
		ssh:      connection,
		link:     l,
		sessions: newSessions(opts.MaxSessions),
		done:     make(chan struct{}),
	}
	go func() { c.end(connection.Wait()) }()
	go c.keepalive(opts.KeepaliveInterval, opts.KeepaliveMisses)
	return c
}

// String returns the target as errors name it.
func (c *Client) String() string { return c.name }

// alive reports whether the connection still stands, as far as this side knows.
func (c *Client) alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return c.link.failure() == nil
	}
}

// end closes the connection for a reason. Waiters are told before the transport is closed, since that can block if it
// runs through a stalled bastion.
func (c *Client) end(cause error) {
	c.ending.Do(func() {
		c.cause = cause
		close(c.done)
		_ = c.ssh.Close()
	})
}

// why returns the reason for the end of the connection, as far as it is known.
func (c *Client) why() error {
	if err := c.link.failure(); err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.cause
	default:
		return errors.New("the host closed the session without an exit status")
	}
}

// minUploadProgress is how many bytes an upload has to send per interval to count as progress. Keepalive requests are
// much smaller, and the network accepts them for a while even if the host is gone.
const minUploadProgress = 16 << 10

// keepalive sends the host a request every interval, and ends the connection after some intervals in a row without
// progress in either direction: a response may wait behind an upload, longer than the intervals last on a slow
// connection.
func (c *Client) keepalive(interval time.Duration, misses int) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()

	answered := make(chan struct{}, 1)
	answered <- struct{}{}
	missed, seen, gone := -1, c.link.received.Load(), c.link.sent.Load()
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		if now := c.link.received.Load(); now != seen {
			missed, seen = -1, now
		}
		left := c.link.sent.Load()
		if left-gone >= minUploadProgress {
			missed = -1
		}
		gone = left
		// The first silent interval is no miss: no request was sent in it.
		if missed++; missed >= misses {
			c.end(fmt.Errorf("it has sent nothing for %s", time.Duration(misses)*interval))
			return
		}
		select {
		case <-answered:
			go func() {
				// Any response will do; usually it is a refusal.
				_, _, _ = c.ssh.SendRequest("keepalive@openssh.com", true, nil)
				answered <- struct{}{}
			}()
		default: // the last request is still unanswered
		}
	}
}

// openSession opens a session, and waits for it no longer than the context or the connection lasts.
func (c *Client) openSession(ctx context.Context) (*gossh.Session, error) {
	type result struct {
		session *gossh.Session
		err     error
	}
	opened := make(chan result, 1)
	go func() {
		session, err := c.ssh.NewSession()
		opened <- result{session, err}
	}()
	select {
	case r := <-opened:
		return r.session, r.err
	case <-c.done:
		return nil, errGone
	case <-ctx.Done():
		go func() {
			if late := <-opened; late.err == nil {
				_ = late.session.Close()
			}
		}()
		return nil, contextError(ctx)
	}
}
