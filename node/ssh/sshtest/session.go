package sshtest

import (
	"context"
	"encoding/binary"
	"io"
	"sync"

	gossh "golang.org/x/crypto/ssh"
)

// Handler runs one command of a client. Its result ends the session. Its context ends when the client sends a signal or
// closes the session, and when the connection ends.
type Handler func(ctx context.Context, session *Session) Exit

// Exit is the end of a command. The zero Exit is success.
type Exit struct {
	Status int
	Signal string // name without SIG, if a signal killed the command
	Silent bool   // close the session with neither status nor signal
}

// Session is one command of a client, and its streams.
type Session struct {
	User    string
	Command string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer

	conn    *conn
	channel gossh.Channel
	mu      sync.Mutex
	signal  string
}

// Signal returns the name, without SIG, of the signal that the client has sent, or "".
func (s *Session) Signal() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signal
}

// Drop cuts the session's connection.
func (s *Session) Drop() { _ = s.conn.Close() }

// Report sends an exit status before the command ends, as sshd does while output is still on its way. The handler's own
// Exit should be Silent then.
func (s *Session) Report(status int) {
	_, _ = s.channel.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, uint32(status)))
}

// sessionCount counts the open sessions of one connection, and of its server.
type sessionCount struct {
	server *Server
	open   int
}

// begin reports whether one more session may be open.
func (n *sessionCount) begin() bool {
	s := n.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config.MaxSessions > 0 && n.open >= s.config.MaxSessions {
		s.refused++
		return false
	}
	n.open++
	s.sessions++
	s.peak = max(s.peak, s.sessions)
	return true
}

func (n *sessionCount) end() {
	n.server.mu.Lock()
	defer n.server.mu.Unlock()
	n.open--
	n.server.sessions--
}

// session serves one session channel: the first exec request, and later signals.
func (s *Server) session(c *conn, user string, offered gossh.NewChannel, count *sessionCount) {
	if !count.begin() {
		// The reason and the message are OpenSSH's.
		_ = offered.Reject(gossh.ConnectionFailed, "open failed")
		return
	}
	channel, requests, err := offered.Accept()
	if err != nil {
		count.end()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	session := &Session{User: user, Stdin: channel, Stdout: channel, Stderr: channel.Stderr(), conn: c, channel: channel}
	started := false
	for request := range requests {
		switch {
		case request.Type == "exec" && !started:
			var exec struct{ Command string }
			if gossh.Unmarshal(request.Payload, &exec) != nil {
				_ = request.Reply(false, nil)
				continue
			}
			started = true
			session.Command = exec.Command
			_ = request.Reply(true, nil)
			running.Go(func() {
				exit := s.config.Handler(ctx, session)
				count.end()
				finish(channel, exit)
			})
		case request.Type == "signal":
			var signal struct{ Name string }
			_ = gossh.Unmarshal(request.Payload, &signal)
			session.mu.Lock()
			session.signal = signal.Name
			session.mu.Unlock()
			cancel()
		case request.WantReply:
			_ = request.Reply(false, nil)
		}
	}
	cancel()
	if !started {
		count.end()
		_ = channel.Close()
	}
	running.Wait()
}

// finish tells the client how the command ended, and closes the channel.
func finish(channel gossh.Channel, exit Exit) {
	switch {
	case exit.Silent:
	case exit.Signal != "":
		_, _ = channel.SendRequest("exit-signal", false, gossh.Marshal(struct {
			Signal     string
			CoreDumped bool
			Error      string
			Language   string
		}{Signal: exit.Signal}))
	default:
		_, _ = channel.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, uint32(exit.Status)))
	}
	_ = channel.Close()
}
