package ssh

import (
	"net"
	"sync"
	"sync/atomic"
)

// link is the byte stream below an SSH connection. It records what the protocol code does not tell: whether anything
// arrives, whether what is sent leaves, and how the stream broke.
type link struct {
	net.Conn
	received atomic.Int64 // bytes so far
	sent     atomic.Int64 // bytes so far that the network has accepted

	mu     sync.Mutex
	broken error // first failure; nil: none, or it was closed from here
	closed bool  // from here
}

func (l *link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.received.Add(int64(n))
	l.note(err)
	return n, err
}

func (l *link) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	l.sent.Add(int64(n))
	l.note(err)
	return n, err
}

func (l *link) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	return l.Conn.Close()
}

func (l *link) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && !l.closed && l.broken == nil {
		l.broken = err
	}
}

// failure returns how the stream broke, or nil if it did not or this side closed it.
func (l *link) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}
