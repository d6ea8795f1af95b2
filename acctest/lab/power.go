package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// supervisor runs the host for as long as it reboots: systemd-nspawn leaves with 133 when its host
// does. It is a process group of its own, led by this shell, which is what PowerOff kills. It is a
// shell and no Go program so that it outlives the test binary or the command that started it.
const supervisor = `while :; do
	systemd-nspawn "$@" </dev/null
	[ $? = 133 ] || exit
done`

// patience bounds every wait for a host. A boot takes about 1.3 s.
const patience = 2 * time.Minute

func (h *Host) pidFile() string { return filepath.Join(h.dir, "supervisor") }

// PowerOn boots the host, and returns once its sshd answers.
func (h *Host) PowerOn(ctx context.Context) error {
	if _, on := readProcess(h.pidFile()); on {
		return fmt.Errorf("host %s is on already", h.Config.Name)
	}
	args := []string{"-c", supervisor, "lab-" + h.lab.Name + "-" + h.Config.Name,
		"--quiet", "--boot", "--register=no", "--keep-unit", "--capability=CAP_NET_ADMIN",
		"-D", h.root(), "--machine=" + h.Config.Name, "--hostname=" + h.Config.Name,
		"--network-namespace-path=/run/netns/" + h.namespace()}
	if h.Config.DeviceBytes > 0 {
		device, err := h.attach()
		if err != nil {
			return err
		}
		args = append(args, "--bind="+device+":/dev/sdb")
	}
	console, err := os.OpenFile(h.console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	command := exec.Command("sh", args...)
	command.Stdout, command.Stderr = console, console
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return err
	}
	go func() { _ = command.Wait() }() // or it would stay as a zombie
	started, err := findProcess(command.Process.Pid)
	if err != nil {
		return fmt.Errorf("its supervisor ended at once: %w: %s", err, h.lastWords())
	}
	if err := started.write(h.pidFile()); err != nil {
		return err
	}
	return h.AwaitSSH(ctx)
}

// attach makes the disk a loop device, unless it is one.
func (h *Host) attach() (string, error) {
	if device, err := h.device(); device != "" || err != nil {
		return device, err
	}
	device, err := output("losetup", "--find", "--show", h.disk())
	return strings.TrimSpace(device), err
}

// device is the loop device of the disk; empty where there is none.
func (h *Host) device() (string, error) {
	device, err := output("losetup", "--noheadings", "--output=NAME", "--associated", h.disk())
	return strings.TrimSpace(device), err
}

// AwaitSSH waits until the host's sshd answers.
func (h *Host) AwaitSSH(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := h.greet(ctx)
		if err == nil {
			return nil
		}
		if _, on := readProcess(h.pidFile()); !on {
			return fmt.Errorf("host %s has ended: %s", h.Config.Name, h.lastWords())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("sshd of host %s does not answer: %w: %s", h.Config.Name, errors.Join(err, ctx.Err()), h.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// greet has sshd say who it is. It asks from the host's own namespace, which no filter stands before.
func (h *Host) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := dialIn(ctx, h.namespace(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.Config.Port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	banner := make([]byte, 4)
	if _, err := conn.Read(banner); err != nil {
		return err
	}
	if string(banner) != "SSH-" {
		return fmt.Errorf("it says %q", banner)
	}
	return nil
}

// lastWords are the end of what the host wrote to its console.
func (h *Host) lastWords() string {
	text, err := os.ReadFile(h.console())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// PowerOff cuts the host's power: everything that runs on it ends at once. It may be repeated.
func (h *Host) PowerOff() error {
	if leader, on := readProcess(h.pidFile()); on {
		if err := kill(-leader.pid); err != nil {
			return err
		}
	}
	// nspawn's end is not always its host's. That of the host's PID 1 is: the kernel ends all others.
	for start := time.Now(); h.occupied(); time.Sleep(10 * time.Millisecond) {
		if init, err := h.init(); err == nil {
			if err := kill(init); err != nil {
				return err
			}
		}
		if time.Since(start) > patience {
			return fmt.Errorf("processes of host %s do not end", h.Config.Name)
		}
	}
	if device, err := h.device(); device != "" && err == nil {
		return run("losetup", "--detach", device)
	}
	return nil
}

// kill kills a process, or the group -pid. One that is gone is as good.
func kill(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %d: %w", pid, err)
	}
	return nil
}

// occupied tells whether any process is left in the host's network namespace.
func (h *Host) occupied() bool {
	pids, err := output("ip", "netns", "pids", h.namespace())
	return err == nil && strings.TrimSpace(pids) != ""
}

// Reboot reboots the host from inside, in order, and returns once its sshd answers again.
func (h *Host) Reboot(ctx context.Context) error {
	before, err := h.Run(ctx, "cat", "/proc/1/stat")
	if err != nil {
		return err
	}
	if _, err := h.Run(ctx, "systemctl", "--no-block", "reboot"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		now, err := h.Run(ctx, "cat", "/proc/1/stat")
		if err == nil && startOf(now) != startOf(before) {
			return h.AwaitSSH(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("host %s does not reboot: %w: %s", h.Config.Name, ctx.Err(), h.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// startOf is the start time in a process's stat.
func startOf(stat string) string {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}
