package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"

	gossh "golang.org/x/crypto/ssh"
)

// sessions limits the commands on one connection: sshd refuses more than MaxSessions at once, so further ones wait
// here.
type sessions struct {
	mu    sync.Mutex
	limit int
	open  int
	freed chan struct{} // closed and replaced whenever a command ends
}

func newSessions(limit int) *sessions {
	return &sessions{limit: limit, freed: make(chan struct{})}
}

// acquire waits for a free session. It returns the context's error, or errGone once done is closed.
func (s *sessions) acquire(ctx context.Context, done <-chan struct{}) error {
	for {
		s.mu.Lock()
		free, freed := s.open < s.limit, s.freed
		if free {
			s.open++
		}
		s.mu.Unlock()
		if free {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return contextError(ctx)
		case <-done:
			return errGone
		}
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
