package lab

import (
	"strings"
	"testing"
)

// TestHosts boots one lab with a host of each kind, and does to them all that can be done.
func TestHosts(t *testing.T) {
	t.Parallel()
	l := up(t, Config{Name: labName("h"), Hosts: []HostConfig{
		{Name: "a", DeviceBytes: 320 << 20, SmallUsr: 1 << 20}, // no xfs is smaller than 300 MiB
		{Name: "b", User: "ops", Port: 2222},
		{Name: "c", User: "ops", Password: "open sesame"},
	}})
	a, b, c := l.Host("a"), l.Host("b"), l.Host("c")

	t.Run("systemd", func(t *testing.T) {
		for _, h := range l.Hosts {
			if comm := on(t, h, "cat", "/proc/1/comm"); comm != "systemd" {
				t.Errorf("PID 1 of %s is %s", h.Config.Name, comm)
			}
			if name := on(t, h, "hostname"); name != h.Config.Name {
				t.Errorf("%s is called %s", h.Config.Name, name)
			}
			if state, err := h.Run(t.Context(), "systemctl", "is-system-running", "--wait"); err != nil {
				t.Errorf("%s is %s%s", h.Config.Name, state, on(t, h, "systemctl", "--failed", "--no-legend"))
			}
		}
		if on(t, a, "cat", "/etc/machine-id") == on(t, b, "cat", "/etc/machine-id") {
			t.Error("two hosts have the same machine-id")
		}
	})

	t.Run("a unit is its host's alone", func(t *testing.T) {
		for _, h := range []*Host{a, b} {
			on(t, h, "systemd-run", "--quiet", "--unit=same", "sleep", "infinity")
		}
		on(t, a, "systemctl", "stop", "same")
		if state := on(t, b, "systemctl", "is-active", "same"); state != "active" {
			t.Errorf("the unit on b is %s after that of the same name on a was stopped", state)
		}
		if log := on(t, a, "journalctl", "--boot", "--unit=same"); strings.Contains(log, "Failed") {
			t.Errorf("its stop is not clean:\n%s", log)
		}
	})

	t.Run("failing program", func(t *testing.T) {
		_, err := a.Run(t.Context(), "sh", "-c", "echo some words; exit 3")
		if err == nil || !strings.Contains(err.Error(), "some words") || !strings.Contains(err.Error(), "status 3") {
			t.Errorf("the error does not tell: %v", err)
		}
	})

	t.Run("block device", func(t *testing.T) {
		on(t, a, "mkfs.xfs", "-q", "-f", "/dev/sdb")
		on(t, a, "sh", "-ec", "mkdir /data && mount /dev/sdb /data && echo kept >/data/file && umount /data")
		on(t, a, "mount", "/dev/sdb", "/data")
		if kind := on(t, a, "findmnt", "-n", "-o", "FSTYPE", "/data"); kind != "xfs" {
			t.Errorf("/data is %s", kind)
		}
		// It is mounted when the power goes, and there afterwards.
		must(t, a.PowerOff())
		must(t, a.PowerOn(t.Context()))
		on(t, a, "mount", "/dev/sdb", "/data")
		if text := on(t, a, "cat", "/data/file"); text != "kept" {
			t.Errorf("the file reads %q", text)
		}
	})

	t.Run("small /usr/local", func(t *testing.T) {
		if _, err := a.Run(t.Context(), "dd", "if=/dev/zero", "of=/usr/local/big", "bs=1M", "count=2"); err == nil {
			t.Error("2 MiB fit into 1")
		} else if !strings.Contains(err.Error(), "No space left") {
			t.Error(err)
		}
		on(t, a, "rm", "/usr/local/big")
	})

	t.Run("sudo", func(t *testing.T) {
		if who := says(t, login{host: b}.ssh(t), "id -un; sudo -n id -un"); who != "ops\nroot" {
			t.Errorf("b says %q", who)
		}
		if who := says(t, login{host: c}.ssh(t), "sudo -n id -un 2>/dev/null || echo refused"); who != "refused" {
			t.Errorf("sudo of c asks for no password: %q", who)
		}
		withPassword := login{host: c}.ssh(t)
		withPassword.Stdin = strings.NewReader(c.Config.Password + "\n")
		if who := says(t, withPassword, "sudo -S -p '' id -un"); who != "root" {
			t.Errorf("c says %q", who)
		}
	})

	t.Run("reboot", func(t *testing.T) {
		before := on(t, b, "cat", "/proc/sys/kernel/random/boot_id")
		on(t, b, "sh", "-c", "echo kept >/root/file; echo lost >/run/file")
		must(t, b.Reboot(t.Context()))
		if after := on(t, b, "cat", "/proc/sys/kernel/random/boot_id"); after == before {
			t.Error("it is the same boot")
		}
		if text := on(t, b, "cat", "/root/file"); text != "kept" {
			t.Errorf("the file reads %q", text)
		}
		if _, err := b.Run(t.Context(), "cat", "/run/file"); err == nil {
			t.Error("/run has outlasted a reboot")
		}
		if who := says(t, login{host: b}.ssh(t), "hostname"); who != "b" {
			t.Errorf("it says %q", who)
		}
	})

	t.Run("power", func(t *testing.T) {
		on(t, c, "sh", "-c", "echo kept >/root/file")
		must(t, c.PowerOff())
		must(t, c.PowerOff()) // again
		if c.On() || !cutOff(t, b, c) {
			t.Error("c is still there")
		}
		if _, err := c.Run(t.Context(), "true"); err == nil || !strings.Contains(err.Error(), "is off") {
			t.Errorf("running something on a host that is off: %v", err)
		}
		if text, err := c.ReadFile("/root/file"); err != nil || text != "kept\n" {
			t.Errorf("the file reads %q, %v", text, err)
		}
		must(t, c.PowerOn(t.Context()))
		if !c.On() || !reaches(t, b, c) {
			t.Error("c is not back")
		}
		if err := c.PowerOn(t.Context()); err == nil {
			t.Error("a host that is on was powered on")
		}
	})

	t.Run("shutdown from inside", func(t *testing.T) {
		on(t, c, "systemctl", "--no-block", "poweroff")
		becomes(t, "c is off", func() bool { return !c.On() })
		must(t, c.PowerOn(t.Context()))
	})

	t.Run("network", func(t *testing.T) {
		if !reaches(t, a, b) {
			t.Fatal("a does not reach b")
		}
		must(t, b.Cut())
		if !cutOff(t, a, b) || !cutOff(t, b, a) {
			t.Error("b is cut off, and still there")
		}
		if on(t, b, "true"); !b.On() {
			t.Error("b does not run")
		}
		must(t, b.Join())
		becomes(t, "a and b reach each other", func() bool { return reaches(t, a, b) && reaches(t, b, a) })
		if routes := on(t, a, "ip", "route", "show", "default"); routes != "" {
			t.Errorf("there is a way out: %s", routes)
		}
	})

	t.Run("wipe", func(t *testing.T) {
		id, key := on(t, a, "cat", "/etc/machine-id"), on(t, a, "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
		on(t, a, "sh", "-c", "echo gone >/root/file; echo gone >/usr/local/file")
		must(t, a.Wipe(t.Context()))
		if _, err := a.Run(t.Context(), "sh", "-c", "cat /root/file || cat /usr/local/file"); err == nil {
			t.Error("files have outlasted the wipe")
		}
		if _, err := a.Run(t.Context(), "blkid", "-p", "/dev/sdb"); err == nil {
			t.Error("the disk's file system has outlasted the wipe")
		}
		if on(t, a, "cat", "/etc/machine-id") == id {
			t.Error("the machine-id has outlasted the wipe")
		}
		if on(t, a, "cat", "/etc/ssh/ssh_host_ed25519_key.pub") != key {
			t.Error("the host key has not outlasted the wipe")
		}
		if who := says(t, login{host: a}.ssh(t), "hostname"); who != "a" {
			t.Errorf("it says %q", who)
		}
		if !reaches(t, b, a) {
			t.Error("b does not reach a")
		}
	})
}
