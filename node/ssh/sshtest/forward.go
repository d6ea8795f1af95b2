package sshtest

import (
	"io"
	"net"
	"strconv"

	gossh "golang.org/x/crypto/ssh"
)

// ForwardTCP forwards to wherever the client asks, for Config.Forward.
func ForwardTCP(address string) (net.Conn, error) { return net.Dial("tcp", address) }

// forward serves one direct-tcpip channel.
func (s *Server) forward(offered gossh.NewChannel) {
	if s.config.Forward == nil {
		_ = offered.Reject(gossh.Prohibited, "open failed")
		return
	}
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := gossh.Unmarshal(offered.ExtraData(), &to); err != nil {
		_ = offered.Reject(gossh.ConnectionFailed, err.Error())
		return
	}
	conn, err := s.config.Forward(net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = offered.Reject(gossh.ConnectionFailed, err.Error())
		return
	}
	channel, requests, err := offered.Accept()
	if err != nil {
		_ = conn.Close()
		return
	}
	go gossh.DiscardRequests(requests)
	go func() {
		_, _ = io.Copy(conn, channel)
		_ = conn.Close()
	}()
	_, _ = io.Copy(channel, conn)
	_ = channel.Close()
	_ = conn.Close()
}
