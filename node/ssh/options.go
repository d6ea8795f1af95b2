package ssh

import (
	"context"
	"net"
	"time"
)

// Options are the limits of a Pool, and its clock and dialer. The zero Options are right for production; a field that
// is 0, negative or nil has the default named beside it.
type Options struct {
	// ConnectTimeout bounds the connection to one hop, from its first dial until the login, including retries. It is
	// also how long to wait for a new host that refuses connections until its sshd is up. Default 30s. A bastion has
	// its own.
	ConnectTimeout time.Duration

	// LookTimeout is how long Pool.Look waits for a host that sends nothing. A host that responds gets as long as an
	// attempt may take. Default 5s, in which the first packet is sent three times.
	LookTimeout time.Duration

	// RefusalGrace is how long Pool.Look retries if the host refuses connections or there is no route to it: an sshd
	// that restarts refuses for less. Default 2s.
	RefusalGrace time.Duration

	// RememberFailure is how long Pool.Look returns the last failure without another attempt. Default 1m.
	RememberFailure time.Duration

	// AttemptTimeout bounds one attempt: dial, handshake and login, e.g. with a server that accepts the connection and
	// then sends nothing. Default 10s.
	AttemptTimeout time.Duration

	// RetryDelay is the pause before the second attempt; it doubles with each further one, up to eight times this.
	// Default 250ms.
	RetryDelay time.Duration

	// KeepaliveInterval is the time between two keepalive requests. Default 10s.
	KeepaliveInterval time.Duration

	// KeepaliveMisses is the number of silent intervals in a row after which the connection is closed. Default 3.
	KeepaliveMisses int

	// MaxSessions is the number of concurrent commands on one connection; further ones wait. Default 8, below sshd's
	// default of 10. A lower limit of the host is detected and respected.
	MaxSessions int

	// Dial opens the TCP connection to a target, or to the outermost bastion. Default: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Now is the clock for the validity of certificates. Default: time.Now.
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
