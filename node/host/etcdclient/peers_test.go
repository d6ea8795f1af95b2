package etcdclient

import (
	"net"
	"testing"
)

// TestPeersAreDialedFromTheMembersAddress holds that a peer sees the member's own address, which its certificate names,
// and not the first address of the host. If the host does not have that address, it connects from another one.
func TestPeersAreDialedFromTheMembersAddress(t *testing.T) {
	t.Parallel()
	for own, seen := range map[string]string{"127.0.0.2": "127.0.0.2", "127.0.0.1": "127.0.0.1", "192.0.2.254": "127.0.0.1", "::1": "127.0.0.1", "a.example": "127.0.0.1"} {
		listener, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		connection, err := dialFrom(own)(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Errorf("%s: %v", own, err)
			continue
		}
		defer connection.Close()
		accepted, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer accepted.Close()
		if from := accepted.RemoteAddr().(*net.TCPAddr).IP.String(); from != seen {
			t.Errorf("a member at %s comes from %s, and not from %s", own, from, seen)
		}
	}
}
