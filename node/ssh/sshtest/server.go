// Package sshtest runs a real SSH server inside a test process, with real TCP, handshakes and channels. Commands run in
// a shell on this machine, or in a handler of the test. The server can do what a real host does to its clients: demand
// certificates, forward as a bastion, allow few sessions, drop connections, and fall silent.
package sshtest

import (
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// Config says what kind of host a server is. The zero Config is a host with one ed25519 key that lets in the user of
// Server.Target, and runs commands in a shell.
type Config struct {
	Listen   string         // address:port; empty: 127.0.0.1 and a free port
	HostKeys []gossh.Signer // plain keys or host certificates; empty: one new ed25519 key

	User           string            // the only user who is let in; empty: "tester"
	AuthorizedKeys []gossh.PublicKey // let in besides the key of Server.Target
	UserCA         gossh.PublicKey   // signs certificates that are let in; nil: none are
	Banner         string            // sent to clients that log in; empty: none

	Handler     Handler // runs commands; nil: Shell
	MaxSessions int     // how many one connection may have open; 0: no limit

	// Forward dials for clients that use the host as their bastion; nil: forwarding is forbidden.
	Forward func(address string) (net.Conn, error)
}

// Server is a host that runs until its test ends.
type Server struct {
	t        testing.TB
	config   Config
	ssh      *gossh.ServerConfig
	listener net.Listener
	key      string // private key of Target, OpenSSH format
	pin      string // public half of the first host key
	ending   sync.WaitGroup

	mu       sync.Mutex
	frozen   chan struct{} // closed to thaw; nil: not frozen
	conns    map[*conn]struct{}
	stopped  bool
	accepted int
	logins   int
	sessions int // open now
	peak     int // most sessions that were open at once
	refused  int // sessions above MaxSessions
}

// Start runs a server for the rest of the test.
func Start(t testing.TB, config Config) *Server {
	t.Helper()
	if config.Listen == "" {
		config.Listen = "127.0.0.1:0"
	}
	if config.User == "" {
		config.User = "tester"
	}
	if config.Handler == nil {
		config.Handler = Shell
	}
	if len(config.HostKeys) == 0 {
		config.HostKeys = []gossh.Signer{NewSigner(t, gossh.KeyAlgoED25519)}
	}
	key := NewKey(t, gossh.KeyAlgoED25519)
	config.AuthorizedKeys = append([]gossh.PublicKey{Signer(t, key).PublicKey()}, config.AuthorizedKeys...)

	listener, err := net.Listen("tcp", config.Listen)
	if err != nil {
		t.Fatalf("sshtest: %v", err)
	}
	s := &Server{
		t:        t,
		config:   config,
		listener: listener,
		key:      OpenSSH(t, key, ""),
		pin:      PublicLine(hostKey(config.HostKeys[0])),
		conns:    map[*conn]struct{}{},
	}
	s.ssh = s.serverConfig()
	s.ending.Go(s.accept)
	t.Cleanup(s.stop)
	return s
}

// Target returns a target for this server: its address, a user and a key that are let in, and its first host key as the
// pin.
func (s *Server) Target() ssh.Target {
	return ssh.Target{
		Address: s.Host(),
		Port:    s.Port(),
		User:    s.config.User,
		Auth:    ssh.Auth{PrivateKey: secret.New(s.key)},
		Trust:   ssh.Trust{HostKey: s.pin},
	}
}

// Host returns the address that the server listens on, without port.
func (s *Server) Host() string { return s.listener.Addr().(*net.TCPAddr).IP.String() }

// Port returns the port that the server listens on.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Endpoint returns host:port.
func (s *Server) Endpoint() string { return net.JoinHostPort(s.Host(), strconv.Itoa(s.Port())) }

// Accepted returns the number of TCP connections so far.
func (s *Server) Accepted() int { return s.count(&s.accepted) }

// Logins returns the number of successful logins so far.
func (s *Server) Logins() int { return s.count(&s.logins) }

// PeakSessions returns the largest number of sessions open at once so far, over all connections.
func (s *Server) PeakSessions() int { return s.count(&s.peak) }

// RefusedSessions returns the number of sessions refused for MaxSessions.
func (s *Server) RefusedSessions() int { return s.count(&s.refused) }

func (s *Server) count(n *int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *n
}

// Drop cuts all connections, like a host that loses power while its network stays up.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Conn.Close()
	}
}

// Freeze stops reading and answering on all connections, including new ones, without closing them.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen == nil {
		s.frozen = make(chan struct{})
	}
}

// Thaw ends Freeze.
func (s *Server) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen != nil {
		close(s.frozen)
		s.frozen = nil
	}
}

func (s *Server) stop() {
	s.Thaw()
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	_ = s.listener.Close()
	s.Drop()
	s.ending.Wait()
}

func (s *Server) accept() {
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		c := &conn{Conn: raw, server: s, closed: make(chan struct{})}
		s.conns[c] = struct{}{}
		s.accepted++
		if s.stopped {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.ending.Go(func() { s.serve(c) })
	}
}

func (s *Server) serve(c *conn) {
	defer func() {
		_ = c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	// Failed handshakes are what many tests are about; the client sees them.
	connection, channels, requests, err := gossh.NewServerConn(c, s.ssh)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.logins++
	s.mu.Unlock()

	go gossh.DiscardRequests(requests)
	var open sync.WaitGroup
	sessions := &sessionCount{server: s}
	for channel := range channels {
		switch channel.ChannelType() {
		case "session":
			open.Go(func() { s.session(c, connection.User(), channel, sessions) })
		case "direct-tcpip":
			open.Go(func() { s.forward(channel) })
		default:
			_ = channel.Reject(gossh.UnknownChannelType, channel.ChannelType())
		}
	}
	open.Wait()
}

func (s *Server) serverConfig() *gossh.ServerConfig {
	checker := gossh.CertChecker{
		IsUserAuthority: func(ca gossh.PublicKey) bool {
			return s.config.UserCA != nil && string(ca.Marshal()) == string(s.config.UserCA.Marshal())
		},
		UserKeyFallback: func(_ gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
			for _, authorized := range s.config.AuthorizedKeys {
				if string(authorized.Marshal()) == string(key.Marshal()) {
					return nil, nil
				}
			}
			return nil, errors.New("no authorized key")
		},
	}
	config := &gossh.ServerConfig{
		PublicKeyCallback: func(meta gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
			if meta.User() != s.config.User {
				return nil, errors.New("no such user")
			}
			return checker.Authenticate(meta, key)
		},
	}
	if s.config.Banner != "" {
		config.BannerCallback = func(gossh.ConnMetadata) string { return s.config.Banner }
	}
	for _, key := range s.config.HostKeys {
		config.AddHostKey(key)
	}
	return config
}

// hostKey returns the key of a host, even if the host presents it in a certificate.
func hostKey(signer gossh.Signer) gossh.PublicKey {
	if cert, ok := signer.PublicKey().(*gossh.Certificate); ok {
		return cert.Key
	}
	return signer.PublicKey()
}
