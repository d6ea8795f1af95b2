package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

// oneWay is a connection on which, for a time, bytes leave slowly and none arrive.
type oneWay struct {
	net.Conn
	closed *atomic.Bool  // nothing arrives
	opens  chan struct{} // closed when bytes arrive again
	stuck  *atomic.Bool  // nothing leaves either
}

func (c *oneWay) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.closed.Load() {
		<-c.opens
	}
	return n, err
}

func (c *oneWay) Write(p []byte) (int, error) {
	if c.closed.Load() {
		time.Sleep(40 * time.Millisecond)
		if c.stuck.Load() && len(p) > 1000 {
			<-c.opens
		}
	}
	return c.Conn.Write(p)
}

// begins calls begin whenever it is read.
type begins struct {
	io.Reader
	begin func()
}

func (b begins) Read(p []byte) (int, error) {
	b.begin()
	return b.Reader.Read(p)
}

// TestSlowConnectionIsNotGivenUpWhileItCarriesBytes holds that a connection stays up as long as an upload leaves,
// however late the answers behind it are, and is given up once nothing leaves.
func TestSlowConnectionIsNotGivenUpWhileItCarriesBytes(t *testing.T) {
	// The content of a session's window takes five intervals to leave.
	const interval = 500 * time.Millisecond
	for name, stuck := range map[string]bool{"it flows": false, "it is stuck": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := &oneWay{closed: &atomic.Bool{}, stuck: &atomic.Bool{}, opens: make(chan struct{})}
			server := sshtest.Start(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.Exit {
				_, _ = io.Copy(io.Discard, s.Stdin)
				return sshtest.Exit{}
			}})
			client := connect(t, ssh.Options{KeepaliveInterval: interval, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				line.Conn = conn
				return line, err
			}}, server.Target())
			shut := sync.OnceFunc(func() {
				line.closed.Store(true)
				line.stuck.Store(stuck)
				time.AfterFunc(6*interval, func() { line.closed.Store(false); close(line.opens) })
			})
			err := client.Run(t.Context(), ssh.Command{Line: "take", Stdin: begins{bytes.NewReader(make([]byte, 8<<20)), shut}})
			if stuck != errors.Is(err, ssh.ErrDisconnected) || !stuck && err != nil {
				t.Errorf("the upload ends with %v", err)
			}
		})
	}
}
