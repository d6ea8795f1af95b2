package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// Client is a connection to one host, logged in. Its commands may run concurrently. It belongs to the
// Pool that made it, which closes it.
type Client struct {
	name     string // of the target, for errors
	ssh      *gossh.Client
	link     *link
	sessions *sessions

	ending sync.Once
	done   chan struct{} // closed when the connection is over
	cause  error         // why it is over; written before done is closed

	quicken sync.Once // see forward
}

// errGone stands for the end of the connection until it is known what that means to the caller.
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

// String is the target as errors name it.
func (c *Client) String() string { return c.name }

// alive reports whether the connection still stands, as far as is known here.
func (c *Client) alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return c.link.failure() == nil
	}
}

// end closes the connection, for the reason given. Whoever waits on it is told before the transport
// is closed, since that can block where it runs through a bastion that has stalled.
func (c *Client) end(cause error) {
	c.ending.Do(func() {
		c.cause = cause
		close(c.done)
		_ = c.ssh.Close()
	})
}

// why is the reason for the end of the connection, as well as it is known.
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

// flows is how much has to leave in an interval for an upload to count as one that comes further, in bytes. What is sent
// to ask whether a host is there is far less, and is taken by the network for a while where nobody is.
const flows = 16 << 10

// keepalive asks the host at every interval whether it is there, and ends the connection when for
// some intervals in a row it has sent nothing at all, and has taken nothing either: an answer may well wait
// behind an upload that fills the way. A thin one takes longer to bring it than the intervals last.
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
		if left-gone >= flows {
			missed = -1
		}
		gone = left
		// The first silent interval is no miss: nothing was asked in it.
		if missed++; missed >= misses {
			c.end(fmt.Errorf("it has sent nothing for %s", time.Duration(misses)*interval))
			return
		}
		select {
		case <-answered:
			go func() {
				// Either answer will do; a refusal is the usual one.
				_, _, _ = c.ssh.SendRequest("keepalive@openssh.com", true, nil)
				answered <- struct{}{}
			}()
		default: // the last question still waits
		}
	}
}

// openSession opens a session, and does not wait for it longer than the context or the connection lasts.
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
		return nil, ended(ctx)
	}
}
