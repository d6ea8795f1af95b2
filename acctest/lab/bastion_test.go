package lab

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestBastion boots hosts that are behind a bastion and one that is not.
func TestBastion(t *testing.T) {
	t.Parallel()
	l := up(t, Config{Name: labName("b"), Bastion: true, Hosts: []HostConfig{
		{Name: "bastion", User: "jump", Port: 2222, NoForwarding: true},
		{Name: "a"},
		{Name: "b", Direct: true},
	}})
	a, b, bastion := l.Host("a"), l.Host("b"), l.Host("bastion")
	if a.Bastion() != bastion || b.Bastion() != nil || bastion.Bastion() != nil {
		t.Errorf("a is behind %v, b behind %v, the bastion behind %v", a.Bastion(), b.Bastion(), bastion.Bastion())
	}

	t.Run("from the lab", func(t *testing.T) {
		for _, h := range []*Host{b, bastion} {
			if err := greets(t, h, patience); err != nil {
				t.Error(err)
			}
		}
		if err := greets(t, a, time.Second); err == nil {
			t.Error("a is reached past the bastion")
		}
	})

	t.Run("from hosts", func(t *testing.T) {
		if !reaches(t, bastion, a) || !cutOff(t, b, a) || !reaches(t, a, b) {
			t.Error("not the bastion alone reaches a, or b is not reached directly")
		}
	})

	t.Run("hosts see no rules", func(t *testing.T) {
		if rules := on(t, a, "nft", "list", "ruleset"); rules != "" {
			t.Errorf("on a there are:\n%s", rules)
		}
	})

	t.Run("no forwarding", func(t *testing.T) {
		refused(t, through(t, bastion, a, a.Address()), "administratively prohibited")
		if name := says(t, login{host: bastion}.ssh(t), "hostname; id -un"); name != "bastion\njump" {
			t.Errorf("it says %q", name)
		}
	})
}

// TestKnownHosts logs in by the lab's known_hosts, before and after a host got another key.
func TestKnownHosts(t *testing.T) {
	t.Parallel()
	l := up(t, Config{Name: labName("w"), Hosts: []HostConfig{{Name: "a"}, {Name: "b", Port: 2222}}})
	a, b := l.Host("a"), l.Host("b")
	known := func() string {
		text, err := l.KnownHosts()
		must(t, err)
		return text
	}
	before := known()
	for _, h := range l.Hosts {
		for _, address := range []string{h.Address(), h.Address6()} {
			if name := says(t, login{host: h, address: address, known: before}.ssh(t), "hostname"); name != h.Config.Name {
				t.Errorf("%s says %q", address, name)
			}
		}
	}
	must(t, b.WipeWithNewKey(t.Context()))
	refused(t, login{host: b, known: before}.ssh(t), "REMOTE HOST IDENTIFICATION HAS CHANGED")
	if name := says(t, login{host: b, known: known()}.ssh(t), "hostname"); name != "b" {
		t.Errorf("it says %q", name)
	}
	authority, err := l.HostCA()
	must(t, err)
	if name := says(t, login{host: b, known: "@cert-authority * " + authority}.ssh(t), "hostname"); name != "b" {
		t.Errorf("trusted by the authority, it says %q", name)
	}
	if name := says(t, login{host: a, known: before}.ssh(t), "hostname"); name != "a" {
		t.Errorf("it says %q", name)
	}
}

// greets dials the host's sshd from the lab and waits so long for what it says.
func greets(t *testing.T, h *Host, patience time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := h.lab.Dial(ctx, "tcp", net.JoinHostPort(h.Address6(), strconv.Itoa(h.Config.Port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	banner := make([]byte, 8)
	if _, err := conn.Read(banner); err != nil {
		return err
	}
	if !strings.HasPrefix(string(banner), "SSH-") {
		t.Errorf("%s says %q", h.Config.Name, banner)
	}
	return nil
}

// TestDialStaysOutside sees to it that a thread that dialed for a lab is in no lab afterwards.
func TestDialStaysOutside(t *testing.T) {
	t.Parallel()
	l := up(t, Config{Name: labName("d"), Hosts: []HostConfig{{Name: "a"}}})
	// Not /proc/self, which shows the process's first thread: another test may have that in a lab's network just now.
	want, err := os.Readlink("/proc/thread-self/ns/net")
	must(t, err)
	for range 100 {
		must(t, greets(t, l.Host("a"), patience))
		if ns, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || ns != want {
			t.Fatalf("this thread is in %s, %v; want %s", ns, err, want)
		}
	}
}
