package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestSSH logs in with the real client, in all the ways that a lab offers.
func TestSSH(t *testing.T) {
	t.Parallel()
	l := up(t, Config{Name: labName("s"), Bastion: true, Hosts: []HostConfig{{Name: "a"}, {Name: "b"}}})
	a, b, bastion := l.Host("a"), l.Host("b"), l.Host("bastion")

	t.Run("both families", func(t *testing.T) {
		for _, address := range []string{bastion.Address(), bastion.Address6()} {
			if name := says(t, login{host: bastion, address: address}.ssh(t), "hostname"); name != "bastion" {
				t.Errorf("%s says %q", address, name)
			}
		}
	})

	t.Run("foreign host key", func(t *testing.T) {
		key, err := a.HostKey()
		must(t, err)
		refused(t, login{host: bastion, known: bastion.Address() + " " + key}.ssh(t), "REMOTE HOST IDENTIFICATION HAS CHANGED")
	})

	t.Run("bastion", func(t *testing.T) {
		for _, address := range []string{a.Address(), a.Address6()} {
			refused(t, login{host: a, address: address}.ssh(t, "-o", "ConnectTimeout=3"), "timed out")
			if name := says(t, through(t, bastion, a, address), "hostname"); name != "a" {
				t.Errorf("%s says %q", address, name)
			}
		}
		if !cutOff(t, b, a) {
			t.Error("b reaches sshd of a past the bastion")
		}
		must(t, a.Wipe(t.Context()))
		if !cutOff(t, b, a) {
			t.Error("b reaches sshd of a past the bastion once a was wiped")
		}
		if name := says(t, through(t, bastion, a, a.Address()), "hostname"); name != "a" {
			t.Errorf("wiped, it says %q", name)
		}
	})

	t.Run("host certificate", func(t *testing.T) {
		authority, err := l.HostCA()
		must(t, err)
		known := "@cert-authority * " + authority
		for _, address := range []string{bastion.Address(), bastion.Address6()} {
			if name := says(t, login{host: bastion, address: address, known: known}.ssh(t), "hostname"); name != "bastion" {
				t.Errorf("%s says %q", address, name)
			}
		}
		refused(t, login{host: bastion, known: known}.ssh(t, "-o", "HostKeyAlias=other"), "Host key verification failed")
	})

	t.Run("user certificate", func(t *testing.T) {
		key := t.TempDir() + "/id"
		must(t, makeKey(key))
		with := login{host: bastion, key: key}
		refused(t, with.ssh(t), "Permission denied")
		must(t, run("ssh-keygen", "-q", "-s", l.UserCAFile(), "-I", "someone", "-n", "root", "-V", "+1h", key+".pub"))
		if name := says(t, with.ssh(t), "hostname"); name != "bastion" {
			t.Errorf("it says %q", name)
		}
		must(t, run("ssh-keygen", "-q", "-s", l.UserCAFile(), "-I", "someone", "-n", "nobody", "-V", "+1h", key+".pub"))
		refused(t, with.ssh(t), "Permission denied")
	})
}

// login is how to log in to a host. What is empty, is what the lab itself says.
type login struct {
	host    *Host
	address string // empty: the host's IPv4 address
	key     string // file of the user's private key; empty: the lab's
	known   string // line of known_hosts; empty: the host's own key
}

// ssh is the real client, in the lab's network, with nothing but these options, and with a host key that it
// has to verify.
func (g login) ssh(t *testing.T, options ...string) *exec.Cmd {
	t.Helper()
	if g.address == "" {
		g.address = g.host.Address()
	}
	if g.key == "" {
		g.key = g.host.lab.KeyFile()
	}
	if g.known == "" {
		key, err := g.host.HostKey()
		must(t, err)
		g.known = "lab-host " + key
		options = append(options, "-o", "HostKeyAlias=lab-host")
	}
	file := t.TempDir() + "/known_hosts"
	must(t, os.WriteFile(file, []byte(g.known+"\n"), 0o600))
	options = append(options, "-o", "ConnectTimeout=60") // after those of the test: ssh takes the first
	args := []string{"-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes",
		"-o", "UserKnownHostsFile=" + file, "-o", "GlobalKnownHostsFile=none",
		"-i", g.key, "-p", fmt.Sprint(g.host.Config.Port), "-l", g.host.Config.User}
	return g.host.lab.Command(t.Context(), "ssh", append(append(args, options...), g.address)...)
}

// through logs in to a host by way of the bastion.
func through(t *testing.T, bastion, h *Host, address string) *exec.Cmd {
	t.Helper()
	inside := login{host: bastion}.ssh(t, "-W", "[%h]:%p").Args[4:] // this ssh is in the lab's network already
	return login{host: h, address: address}.ssh(t, "-o", "ProxyCommand="+strings.Join(inside, " "))
}

// says runs a program on the other side of ssh, and returns what it printed.
func says(t *testing.T, ssh *exec.Cmd, program string) string {
	t.Helper()
	ssh.Args = append(ssh.Args, program)
	var stderr strings.Builder
	ssh.Stderr = &stderr
	text, err := ssh.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", program, err, stderr.String())
	}
	return strings.TrimSpace(string(text))
}

// refused sees to it that a login fails for this reason.
func refused(t *testing.T, ssh *exec.Cmd, reason string) {
	t.Helper()
	ssh.Args = append(ssh.Args, "true")
	if text, err := ssh.CombinedOutput(); err == nil {
		t.Error("it logs in")
	} else if !strings.Contains(string(text), reason) {
		t.Errorf("refused, but not as %q: %s", reason, text)
	}
}
