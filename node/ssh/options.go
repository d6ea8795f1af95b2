package ssh

import (
	"context"
	"net"
	"time"
)

// Options are the limits of a Pool and its two doors to the outside. The zero Options are good for
// production; each field that is 0, negative or nil has the default named beside it.
type Options struct {
	// ConnectTimeout bounds the way to one hop, from its first dial until the login, retries
	// included. A host that was created a moment ago refuses connections until its sshd is up, so
	// this is also how long such a host is waited for. Default 30s. A bastion has a bound of its own.
	ConnectTimeout time.Duration

	// LookTimeout bounds the same for who only looks (Pool.Look), and for whom a host that does not answer is an answer:
	// the time in which a host sends nothing. A host that talks is listened to for as long as an attempt may take.
	// Default 5s, in which the first question is sent three times.
	LookTimeout time.Duration

	// RefusalGrace is how long who only looks asks again where the host refuses at once, or the network knows no way to
	// it: an sshd that is restarted refuses for less. Default 2s.
	RefusalGrace time.Duration

	// RememberFailure is how long who only looks takes the last failure for the answer, and does not ask again.
	// Default 1m.
	RememberFailure time.Duration

	// AttemptTimeout bounds one attempt: dial, handshake and login. A server that accepts the
	// connection and then says nothing costs no more than this. Default 10s.
	AttemptTimeout time.Duration

	// RetryDelay is the pause before the second attempt; it doubles with each further one, up to
	// eight times this. Default 250ms.
	RetryDelay time.Duration

	// KeepaliveInterval is the time between two questions to a connected host whether it is there.
	// Default 10s.
	KeepaliveInterval time.Duration

	// KeepaliveMisses is the number of intervals in a row without a byte from the host after which
	// the connection is given up. Default 3.
	KeepaliveMisses int

	// MaxSessions is the number of commands that run at once on one connection; further ones wait.
	// Default 8, below the 10 that sshd allows unless it is told otherwise. A host that allows fewer
	// is noticed and obeyed.
	MaxSessions int

	// Dial opens the TCP connection to a target, or to the outermost bastion. Default: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Now tells the time by which certificates are judged. Default: time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	orDuration(&o.ConnectTimeout, 30*time.Second)
	orDuration(&o.LookTimeout, 5*time.Second)
	orDuration(&o.RefusalGrace, 2*time.Second)
	orDuration(&o.RememberFailure, time.Minute)
	orDuration(&o.AttemptTimeout, 10*time.Second)
	orDuration(&o.RetryDelay, 250*time.Millisecond)
	orDuration(&o.KeepaliveInterval, 10*time.Second)
	if o.KeepaliveMisses <= 0 {
		o.KeepaliveMisses = 3
	}
	if o.MaxSessions <= 0 {
		o.MaxSessions = 8
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func orDuration(d *time.Duration, fallback time.Duration) {
	if *d <= 0 {
		*d = fallback
	}
}
