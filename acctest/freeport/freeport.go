// Package freeport finds ports for the processes that tests start.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
)

// The ports lie below those that the kernel gives to connections, and to listeners that ask for any port (Linux begins
// with 32768, macOS with 49152). Such a port may be a connection's before the process that it was found for listens, or
// while the process is stopped: then even a peer that calls the process may take it.
const (
	first = 12000
	count = 20000
)

// tried counts the ports that this process has tried, from a port on that differs from run to run.
var tried atomic.Uint32

func init() { tried.Store(rand.Uint32N(count)) }

// Find returns a port of 127.0.0.1 on which nobody listens, another one at each call.
func Find(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := first + int(tried.Add(1)%count)
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			defer l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
