package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// sessions limits the commands on one connection: sshd refuses more than MaxSessions at once, so further ones wait
// here.
type sessions struct {
	mu    sync.Mutex
	most  int // that are ever open at once
	limit int // that the host allows, as far as its last answer tells
	open  int
	freed chan struct{} // closed and replaced whenever a command ends
	wait  time.Duration // until the host is asked again whether it allows more
}

// firstWait and longestWait bound how long a refused session waits until the host is asked again. sshd counts a session
// for a moment after it has ended, so a refusal may say less than the host allows.
const (
	firstWait   = 100 * time.Millisecond
	longestWait = 30 * time.Second
)

func newSessions(most int) *sessions {
	return &sessions{most: most, limit: most, freed: make(chan struct{}), wait: firstWait}
}

// ErrNoSession is why a command was not started: others held all the sessions that the host opens on a connection.
var ErrNoSession = errors.New("no session of the connection was free")

// acquire waits for a free session, and tells whether it had to. It returns ErrNoSession with the context's error, or
// errGone once done is closed.
func (s *sessions) acquire(ctx context.Context, done <-chan struct{}) (waited bool, err error) {
	for ; ; waited = true {
		s.mu.Lock()
		free, freed := s.open < s.limit, s.freed
		var again <-chan time.Time
		switch {
		case free:
			s.open++
		case s.limit < s.most:
			again = time.After(s.wait)
		}
		s.mu.Unlock()
		if free {
			return waited, nil
		}
		select {
		case <-freed:
		case <-again:
			s.raise()
		case <-ctx.Done():
			return waited, fmt.Errorf("%w: %w", ErrNoSession, contextError(ctx))
		case <-done:
			return waited, errGone
		}
	}
}

// raise has one command more try whether the host allows it.
func (s *sessions) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= s.limit && s.limit < s.most {
		s.limit = s.open + 1
		s.wait = min(2*s.wait, longestWait)
	}
}

// release frees a session.
func (s *sessions) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	close(s.freed)
	s.freed = make(chan struct{})
}

// refused records that the host refused an acquired session: its limit is lower, and the other open sessions are all
// that it allows. It reports whether waiting for one of them can help.
func (s *sessions) refused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	others := s.open - 1
	if others == 0 {
		return false
	}
	s.limit = min(s.limit, others)
	return true
}

// ErrOneSession is returned for a host whose sshd allows one session per connection.
var ErrOneSession = errors.New("its sshd opens one session at a time on a connection (MaxSessions 1), and a run takes two: one holds the lock, and one makes calls; set MaxSessions to 2 or more in its sshd_config (10 is sshd's default)")

// Spare returns ErrOneSession if the host allows no session beside the open ones.
func (c *Client) Spare(ctx context.Context) error {
	session, err := c.openSession(ctx)
	var refusal *gossh.OpenChannelError
	switch {
	case errors.As(err, &refusal):
		return fmt.Errorf("%s: %w", c.name, ErrOneSession)
	case err != nil:
		return c.notOpened(err)
	}
	_ = session.Close() // nothing was run in it
	return nil
}
