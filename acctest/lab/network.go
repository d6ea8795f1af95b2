package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// firstHost is the last byte of the first host's address; host number i has firstHost+i. All labs have the same
// addresses, since they cannot see each other.
const firstHost = 11

// Namespace is the network namespace with the bridge, from which all hosts can be reached.
func (l *Lab) Namespace() string { return "etcdlab-" + l.Name }

// makeNetwork makes the namespace with the bridge, without a connection to the outside.
func (l *Lab) makeNetwork() error {
	ns := l.Namespace()
	if err := run("ip", "netns", "add", ns); err != nil {
		return err
	}
	for _, args := range []string{
		"link set lo up",
		"link add br0 type bridge",
		"addr add 192.0.2.1/24 dev br0",
		"-6 addr add 2001:db8::1/64 dev br0 nodad",
		"link set br0 up",
	} {
		if err := run("ip", append([]string{"-n", ns}, strings.Fields(args)...)...); err != nil {
			return err
		}
	}
	return l.closeBehindBastion()
}

func (l *Lab) removeNetwork() error { return removeNamespace(l.Namespace()) }

// removeNamespace removes a network namespace, and its interfaces with it.
func removeNamespace(name string) error {
	if _, err := os.Stat(filepath.Join("/run/netns", name)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return run("ip", "netns", "del", name)
}

// Command returns a program to run in the lab's network, not started yet.
func (l *Lab) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", l.Namespace(), name}, args...)...)
}

// Dial connects to an IP address and port in the lab's network. The connection can be used from any namespace.
func (l *Lab) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return dialIn(ctx, l.Namespace(), network, address)
}

// dialIn connects from inside a network namespace.
func dialIn(ctx context.Context, namespace, network, address string) (net.Conn, error) {
	inside, err := os.Open(filepath.Join("/run/netns", namespace))
	if err != nil {
		return nil, err
	}
	defer inside.Close()

	runtime.LockOSThread()
	outside, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer outside.Close()
	if err := unix.Setns(int(inside.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter the network namespace %s: %w", namespace, err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	// The thread has to leave the namespace or end: it would keep the namespace occupied, and run goroutines that
	// expect another. The first thread of a process cannot end.
	if back := unix.Setns(int(outside.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(fmt.Sprintf("a thread cannot leave the network namespace %s: %v", namespace, back))
	}
	runtime.UnlockOSThread()
	return conn, err
}
