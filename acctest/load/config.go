package load

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Mode is how puts reach the cluster.
type Mode string

const (
	Balanced Mode = "balanced" // one client with all endpoints, as applications have it
	Each     Mode = "each"     // one client for each endpoint, in turn
)

// Config says what is written and sampled, and where.
type Config struct {
	Endpoints         []string
	CACert, Cert, Key string // PEM files; all empty: no TLS
	// Sync is how often the endpoints are taken from the member list; 0: never. SetEndpoints lasts only until then.
	Sync   time.Duration
	Prefix string // of all keys; empty: "load/"

	Modes []Mode // none: both
	// Rate is how many puts are made a second, in each mode; 0: as many as InFlight lets through, until Count or For.
	// If all three are 0, nothing is written.
	Rate       int
	Count      int           // puts in each mode; 0: any number
	For        time.Duration // how long is written; 0: until Stop
	InFlight   int           // most puts under way on a client; 0: 1024 with a Rate, else 16
	ValueBytes int           // of a value, which does not compress; 0: just enough to tell values apart
	Timeout    time.Duration // of a put; 0: 5 s

	Every     time.Duration // between two questions to a member; 0: nothing is sampled
	ListEvery time.Duration // between two reads of the membership; 0: 10 ms
	Limits    Limits        // what counts as healthy
}

// Limits are the bounds of what counts as healthy, as the package's documentation explains. They are applied
// after the run: a Report's may be changed.
type Limits struct {
	Silent    time.Duration // between two answered statuses; 0: 300 ms
	Unread    time.Duration // between two linearizable reads; 0: 500 ms, or 3 s (an election) if a leader is killed
	Tolerance time.Duration // of too few healthy voters; 0: 150 ms
	Single    bool          // the only voter of a cluster may be unhealthy: its restart is planned
	// Told has a member count as unhealthy only where it was refused or told so at least once meanwhile, or was late
	// for longer than Late without a put being acknowledged: on a machine that is busy with other things, questions
	// time out that are answered in the end.
	Told bool
	Late time.Duration // 0: 3 s
}

const (
	defaultPrefix    = "load/"
	defaultTimeout   = 5 * time.Second
	defaultListEvery = 10 * time.Millisecond
	defaultSilent    = 300 * time.Millisecond
	defaultUnread    = 500 * time.Millisecond
	defaultTolerance = 150 * time.Millisecond
	defaultLate      = 3 * time.Second

	election = time.Second // the least that a cluster is without a leader once it has lost one: etcd's election timeout
)

// writes tells whether anything is to be written.
func (c Config) writes() bool { return c.Rate > 0 || c.Count > 0 || c.For > 0 }

// complete is the configuration with its defaults, or what is wrong with it.
func (c Config) complete() (Config, error) {
	switch {
	case len(c.Endpoints) == 0:
		return c, errors.New("load: no endpoints are given")
	case c.Rate < 0 || c.Count < 0 || c.For < 0 || c.InFlight < 0 || c.ValueBytes < 0 || c.Timeout < 0 || c.Every < 0 || c.ListEvery < 0 || c.Sync < 0:
		return c, fmt.Errorf("load: a negative number in %+v", c)
	case !c.writes() && c.Every == 0:
		return c, errors.New("load: nothing is to be written, for want of a Rate, Count or For, and nothing sampled, for want of Every")
	case (c.CACert == "") != (c.Cert == "") || (c.Cert == "") != (c.Key == ""):
		return c, errors.New("load: CACert, Cert and Key are given all or none")
	}
	for _, m := range c.Modes {
		if m != Balanced && m != Each {
			return c, fmt.Errorf("load: there is no mode %q", m)
		}
	}
	if len(c.Modes) == 0 {
		c.Modes = []Mode{Balanced, Each}
	}
	if !c.writes() {
		c.Modes = nil
	}
	c.Modes = slices.Compact(slices.Sorted(slices.Values(c.Modes)))
	c.Prefix = cmp.Or(c.Prefix, defaultPrefix)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.ListEvery = cmp.Or(c.ListEvery, defaultListEvery)
	if c.Rate > 0 {
		c.InFlight = cmp.Or(c.InFlight, 1024)
	} else {
		c.InFlight = cmp.Or(c.InFlight, 16)
	}
	c.Limits = c.Limits.complete()
	return c, nil
}

func (l Limits) complete() Limits {
	l.Silent = cmp.Or(l.Silent, defaultSilent)
	l.Unread = cmp.Or(l.Unread, defaultUnread)
	l.Tolerance = cmp.Or(l.Tolerance, defaultTolerance)
	l.Late = cmp.Or(l.Late, defaultLate)
	return l
}
