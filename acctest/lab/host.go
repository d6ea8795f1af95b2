package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Host is one host of a lab, on or off.
type Host struct {
	Config HostConfig

	lab   *Lab
	index int
	base  string // the image below it
	dir   string // all of its files
}

func newHost(l *Lab, config HostConfig, index int, base string) *Host {
	if config.User == "" {
		config.User = "root"
	}
	if config.Port == 0 {
		config.Port = 22
	}
	return &Host{Config: config, lab: l, index: index, base: base, dir: filepath.Join(l.dir, config.Name)}
}

// Address is the host's IPv4 address.
func (h *Host) Address() string { return fmt.Sprintf("192.0.2.%d", firstHost+h.index) }

// Address6 is the host's IPv6 address.
func (h *Host) Address6() string { return fmt.Sprintf("2001:db8::%d", firstHost+h.index) }

// HostKey is the public key of the host's sshd, as sshd writes it.
func (h *Host) HostKey() (string, error) {
	return readKey(h.hostKeyFile() + ".pub")
}

func (h *Host) root() string    { return filepath.Join(h.dir, "root") }
func (h *Host) disk() string    { return filepath.Join(h.dir, "disk") }
func (h *Host) console() string { return filepath.Join(h.dir, "console") }

func (h *Host) hostKeyFile() string { return filepath.Join(h.dir, "ssh_host_ed25519_key") }

// namespace is the name of the host's network namespace, control group and machine. Names of labs and hosts have no
// dots, so it is unique.
func (h *Host) namespace() string { return h.lab.Namespace() + "." + h.Config.Name }

// create makes the host, without starting it.
func (h *Host) create() error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return err
	}
	if err := makeKey(h.hostKeyFile()); err != nil {
		return err
	}
	if h.Config.DeviceBytes > 0 {
		if err := sparse(h.disk(), h.Config.DeviceBytes); err != nil {
			return err
		}
	}
	return errors.Join(h.plugIn(), h.image())
}

// sparse makes a sparse file of this size.
func sparse(file string, bytes int64) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(bytes), f.Close())
}

func (h *Host) upper() string { return filepath.Join(h.dir, "upper") } // what the host has written
func (h *Host) work() string  { return filepath.Join(h.dir, "work") }  // of its overlay

// image mounts a fresh image of the host and personalizes it.
func (h *Host) image() error {
	if err := h.mount(); err != nil {
		return err
	}
	return h.personalize()
}

// mount mounts the image with what the host has written.
func (h *Host) mount() error {
	for _, dir := range []string{h.upper(), h.work(), h.root()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", h.base, h.upper(), h.work())
	if err := run("mount", "-t", "overlay", "overlay", "-o", options, h.root()); err != nil {
		return err
	}
	if h.Config.SmallUsr > 0 {
		small := filepath.Join(h.root(), "usr/local")
		return run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", h.Config.SmallUsr), "tmpfs", small)
	}
	return nil
}

// personalize writes the host's names, keys and users into its image.
func (h *Host) personalize() error {
	id, err := os.ReadFile("/proc/sys/kernel/random/uuid")
	if err != nil {
		return err
	}
	user, err := os.ReadFile(h.lab.KeyFile() + ".pub")
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(h.lab.UserCAFile() + ".pub")
	if err != nil {
		return err
	}
	key := h.hostKeyFile()
	principals := strings.Join([]string{h.Config.Name, h.Address(), h.Address6()}, ",")
	if err := run("ssh-keygen", "-q", "-s", filepath.Join(h.lab.dir, "host-ca"), "-h", "-I", h.Config.Name, "-n", principals, key+".pub"); err != nil {
		return err
	}
	home := "/root"
	if h.Config.User != "root" {
		home = "/home/" + h.Config.User
		if err := h.addUser(); err != nil {
			return err
		}
	}
	forwarding := "yes"
	if h.Config.NoForwarding {
		forwarding = "no"
	}
	sshd := fmt.Sprintf("Port %d\nHostKey /etc/ssh/ssh_host_ed25519_key\nHostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub\n"+
		"TrustedUserCAKeys /etc/ssh/user-ca.pub\nPasswordAuthentication no\nUseDNS no\nLogLevel VERBOSE\nAllowTcpForwarding %s\n", h.Config.Port, forwarding)
	for _, file := range []struct {
		path string
		text []byte
		mode os.FileMode
	}{
		{"/etc/hostname", []byte(h.Config.Name + "\n"), 0o644},
		{"/etc/hosts", []byte("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 " + h.Config.Name + "\n"), 0o644},
		{"/etc/machine-id", []byte(strings.ReplaceAll(strings.TrimSpace(string(id)), "-", "") + "\n"), 0o444},
		{"/etc/ssh/sshd_config.d/lab.conf", []byte(sshd), 0o644},
		{"/etc/ssh/user-ca.pub", authority, 0o644},
		{home + "/.ssh/authorized_keys", user, 0o644},
	} {
		if err := h.write(file.path, file.text, file.mode); err != nil {
			return err
		}
	}
	for suffix, mode := range map[string]os.FileMode{"": 0o600, ".pub": 0o644, "-cert.pub": 0o644} {
		text, err := os.ReadFile(key + suffix)
		if err != nil {
			return err
		}
		if err := h.write("/etc/ssh/ssh_host_ed25519_key"+suffix, text, mode); err != nil {
			return err
		}
	}
	return nil
}

// addUser adds the login user and allows it sudo.
func (h *Host) addUser() error {
	user, rule := h.Config.User, "NOPASSWD: ALL"
	if err := run("chroot", h.root(), "useradd", "--create-home", "--shell", "/bin/bash", user); err != nil {
		return err
	}
	if h.Config.Password != "" {
		rule = "ALL"
		command := exec.Command("chroot", h.root(), "chpasswd")
		command.Stdin = strings.NewReader(user + ":" + h.Config.Password + "\n")
		if text, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("give user %s a password: %w: %s", user, err, text)
		}
	}
	return h.write("/etc/sudoers.d/lab", []byte(user+" ALL=(ALL) "+rule+"\n"), 0o440)
}

// write writes a file into the image of a host that is off.
func (h *Host) write(path string, text []byte, mode os.FileMode) error {
	file := filepath.Join(h.root(), path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	return os.Chmod(file, mode)
}

// remove removes whatever exists of a host.
func (h *Host) remove() error {
	err := errors.Join(h.PowerOff(), unmountBelow(h.dir), h.unplug(), os.RemoveAll(h.propagated()))
	if err != nil {
		return err
	}
	return os.RemoveAll(h.dir)
}

// propagated is the directory through which systemd-nspawn propagates mounts into a running host, and which it leaves
// behind.
func (h *Host) propagated() string {
	return filepath.Join("/run/systemd/nspawn/propagate", h.namespace())
}
