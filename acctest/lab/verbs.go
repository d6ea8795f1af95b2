package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Command returns a program to run on the host as root, without its network and sshd, not started yet. While the host
// reboots it may not return before ctx ends.
func (h *Host) Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	init, err := h.init()
	if err != nil {
		return nil, err
	}
	enter := []string{"--target", strconv.Itoa(init.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--",
		"env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	return exec.CommandContext(ctx, "nsenter", append(enter, args...)...), nil
}

// Run runs a Command and returns its output. If the program fails, the error includes the output.
func (h *Host) Run(ctx context.Context, args ...string) (string, error) {
	command, err := h.Command(ctx, args...)
	if err != nil {
		return "", err
	}
	text, err := command.CombinedOutput()
	if err != nil {
		return string(text), fmt.Errorf("%s: %s: %w: %s", h.Config.Name, strings.Join(args, " "), err, text)
	}
	return string(text), nil
}

// init returns the process that is PID 1 on the host, as this machine numbers it.
func (h *Host) init() (process, error) {
	pids, err := output("ip", "netns", "pids", h.namespace())
	if err != nil {
		return process{}, err
	}
	for pid := range strings.FieldsSeq(pids) {
		status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
		if err != nil {
			continue // it has ended since
		}
		for line := range strings.Lines(string(status)) {
			if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "NSpid:" && fields[2] == "1" {
				id, err := strconv.Atoi(pid)
				if err != nil {
					return process{}, err
				}
				return findProcess(id)
			}
		}
	}
	return process{}, fmt.Errorf("host %s is off", h.Config.Name)
}

// ReadFile reads a file of the host, or, if the host is off, of its image.
func (h *Host) ReadFile(path string) (string, error) {
	root := h.root()
	if init, err := h.init(); err == nil {
		root = fmt.Sprintf("/proc/%d/root", init.pid) // with all that is mounted there
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("%s: open its root: %w", h.Config.Name, err)
	}
	defer unix.Close(dir)
	// A symbolic link refers to a file of the host, never of this machine.
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	fd, err := unix.Openat2(dir, path, &how)
	if err != nil {
		return "", fmt.Errorf("%s: open %s: %w", h.Config.Name, path, err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	text, err := io.ReadAll(file)
	return string(text), err
}

// WipeWithNewKey is Wipe with a new host key: another machine at the same addresses.
func (h *Host) WipeWithNewKey(ctx context.Context) error {
	if err := errors.Join(h.PowerOff(), makeKey(h.hostKeyFile())); err != nil {
		return err
	}
	return h.Wipe(ctx)
}

// Wipe cuts the host's power and boots it from a fresh image with a fresh disk, like a machine that was reinstalled.
// Its addresses and host key stay; a Cut or a Throttle does not.
func (h *Host) Wipe(ctx context.Context) error {
	if err := errors.Join(h.PowerOff(), unmountBelow(h.dir), h.unplug()); err != nil {
		return err
	}
	if err := h.forget(); err != nil {
		return err
	}
	if h.Config.DeviceBytes > 0 {
		if err := errors.Join(os.Remove(h.disk()), sparse(h.disk(), h.Config.DeviceBytes)); err != nil {
			return err
		}
	}
	if err := errors.Join(h.plugIn(), h.image()); err != nil {
		return err
	}
	return h.PowerOn(ctx)
}

// forget removes what the host has written outside of its disk. Its image is not mounted.
func (h *Host) forget() error {
	return errors.Join(os.RemoveAll(h.upper()), os.RemoveAll(h.work()), os.RemoveAll(h.root()))
}

// Keep copies all that the host has written, for PutBack: the snapshot of a virtual machine. The host has to be off,
// and has no disk of its own.
func (h *Host) Keep() error {
	if h.On() || h.Config.DeviceBytes > 0 {
		return fmt.Errorf("host %s is on, or has a disk, which is not kept", h.Config.Name)
	}
	return errors.Join(os.RemoveAll(h.kept()), run("cp", "-a", h.upper(), h.kept()))
}

// PutBack cuts the host's power and boots it as Keep has found it.
func (h *Host) PutBack(ctx context.Context) error {
	if err := errors.Join(h.PowerOff(), unmountBelow(h.dir)); err != nil {
		return err
	}
	if err := errors.Join(h.forget(), run("cp", "-a", h.kept(), h.upper()), h.mount()); err != nil {
		return err
	}
	return h.PowerOn(ctx)
}

func (h *Host) kept() string { return filepath.Join(h.dir, "kept") }
