package firewall

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is a network of its own, with loopback up.
type namespace struct {
	t  *testing.T
	fd int
}

// The first thread of a process is the one whose network /proc/net shows, and it outlasts the goroutine that it was
// locked to: main keeps it, so that no test moves it to another network.
func init() { runtime.LockOSThread() }

// newNamespace makes a network that nobody else is in.
func newNamespace(t *testing.T) namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("makes networks: run as root")
	}
	n := namespace{t: t}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.fd, err = unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(n.fd) })
	n.run("ip", "link", "set", "lo", "up")
	return n
}

// do does something in the network.
func (n namespace) do(what func()) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := unix.Setns(n.fd, unix.CLONE_NEWNET)
		if err == nil {
			what()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		n.t.Error(err)
	}
}

// run runs a program in the network, and returns what it prints.
func (n namespace) run(program string, args ...string) (output string) {
	n.t.Helper()
	var err error
	n.do(func() {
		var text []byte
		text, err = exec.Command(program, args...).CombinedOutput()
		output = string(text)
	})
	if err != nil {
		n.t.Fatalf("%s %q: %v: %s", program, args, err, output)
	}
	return output
}

// link connects two networks, and gives each its addresses.
func link(a, b namespace, ofA, ofB []string) {
	a.t.Helper()
	tid, release := make(chan int), make(chan struct{})
	go b.do(func() {
		tid <- unix.Gettid()
		<-release
	})
	a.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(<-tid))
	close(release)
	for _, side := range []struct {
		namespace
		addresses []string
	}{{a, ofA}, {b, ofB}} {
		for _, address := range side.addresses {
			args := []string{"address", "add", address, "dev", "eth0"}
			if len(address) > 2 && address[4] == ':' {
				args = append(args, "nodad")
			}
			side.run("ip", args...)
		}
		side.run("ip", "link", "set", "eth0", "up")
	}
}
