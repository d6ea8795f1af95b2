package lab

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"
)

// TestFiles reads files of a host that is on and off, and waits for a host that lets nobody in.
func TestFiles(t *testing.T) {
	t.Parallel()
	l := up(t, Config{Name: labName("f"), Hosts: []HostConfig{{Name: "a"}}})
	a := l.Host("a")
	read := func(t *testing.T, path, want string) {
		t.Helper()
		if text, err := a.ReadFile(path); err != nil || strings.TrimSpace(text) != want {
			t.Errorf("%s reads %q, %v; want %q", path, text, err, want)
		}
	}
	on(t, a, "sh", "-ec", "echo mounted >/run/file; ln -s /etc/hostname /root/absolute; ln -s ../../../../etc/hostname /root/relative")

	t.Run("on", func(t *testing.T) {
		read(t, "/run/file", "mounted")
		read(t, "/root/absolute", "a")
		read(t, "/root/relative", "a")
		read(t, "etc/hostname", "a")
	})

	t.Run("not there", func(t *testing.T) {
		if _, err := a.ReadFile("/root/none"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "a: open /root/none") {
			t.Errorf("a file that is not there: %v", err)
		}
		if _, err := a.ReadFile("/root"); err == nil {
			t.Error("a directory was read as a file")
		}
	})

	t.Run("nobody let in", func(t *testing.T) {
		on(t, a, "touch", "/run/nologin")
		if err := a.letsIn(t.Context()); err == nil || !strings.Contains(err.Error(), "/run/nologin") {
			t.Errorf("it is taken for ready: %v", err)
		}
		on(t, a, "rm", "/run/nologin")
		must(t, a.AwaitSSH(t.Context()))
	})

	t.Run("off", func(t *testing.T) {
		must(t, a.PowerOff())
		read(t, "/root/absolute", "a")
		if _, err := a.ReadFile("/run/file"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what was mounted outlasts the power: %v", err)
		}
	})
}

// TestThrottle sends more through a throttled cable than can have come through in less than a second.
func TestThrottle(t *testing.T) {
	t.Parallel()
	l := up(t, Config{Name: labName("r"), Hosts: []HostConfig{{Name: "a"}}})
	a := l.Host("a")
	send := func() time.Duration {
		t.Helper()
		start := time.Now()
		command := login{host: a}.ssh(t)
		command.Stdin = strings.NewReader(strings.Repeat("x", 500_000))
		if size := says(t, command, "wc -c"); size != "500000" {
			t.Errorf("%s bytes have come", size)
		}
		return time.Since(start)
	}
	must(t, a.Throttle("2mbit"))
	if took := send(); took < time.Second {
		t.Errorf("500 kB came within %s: that is more than 2 Mbit/s", took)
	}
	must(t, a.Unthrottle())
	if err := a.Unthrottle(); err == nil {
		t.Error("a limit that is gone was taken away again")
	}
	send()
	if err := a.Throttle("a lot"); err == nil {
		t.Error("a rate that is none was taken")
	}
}
