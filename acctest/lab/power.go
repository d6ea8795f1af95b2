package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// supervisor keeps the host running across reboots: systemd-nspawn exits with 133 when its host reboots. It is a shell
// script so that it outlives the test binary or command that started it.
const supervisor = `while :; do
	systemd-nspawn "$@" </dev/null
	[ $? = 133 ] || exit
done`

// patience bounds every wait for a host. A boot takes about 1.3 s.
const patience = 2 * time.Minute

// PowerOn boots the host, and returns once its sshd answers.
func (h *Host) PowerOn(ctx context.Context) error {
	if h.On() {
		return fmt.Errorf("host %s is on already", h.Config.Name)
	}
	args := []string{"-c", supervisor, h.namespace(),
		"--quiet", "--boot", "--register=no", "--keep-unit", "--capability=CAP_NET_ADMIN",
		"--link-journal=no", "--resolv-conf=off", "--timezone=off",
		"-D", h.root(), "--machine=" + h.namespace(), "--hostname=" + h.Config.Name,
		"--network-namespace-path=/run/netns/" + h.namespace()}
	if h.Config.DeviceBytes > 0 {
		device, err := h.attach()
		if err != nil {
			return err
		}
		args = append(args, "--bind="+device+":/dev/sdb")
	}
	if err := h.supervise(args); err != nil {
		return err
	}
	return h.AwaitSSH(ctx)
}

// supervise starts the supervisor in the host's control group.
func (h *Host) supervise(args []string) error {
	console, err := os.OpenFile(h.console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	if err := os.MkdirAll(h.cgroup(), 0o755); err != nil {
		return err
	}
	group, err := os.Open(h.cgroup())
	if err != nil {
		return err
	}
	defer group.Close()
	command := exec.Command("sh", args...)
	command.Stdout, command.Stderr = console, console
	// No lock on the image, since a killed process would leave its file behind. The lab has its own.
	command.Env = append(os.Environ(), "SYSTEMD_NSPAWN_LOCK=0")
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	if err := command.Start(); err != nil {
		return err
	}
	go func() { _ = command.Wait() }() // reap it
	return nil
}

// attach makes the disk a loop device, unless it already is one.
func (h *Host) attach() (string, error) {
	if device, err := h.device(); device != "" || err != nil {
		return device, err
	}
	device, err := output("losetup", "--find", "--show", h.disk())
	return strings.TrimSpace(device), err
}

// device returns the loop device of the disk, or "".
func (h *Host) device() (string, error) {
	device, err := output("losetup", "--noheadings", "--output=NAME", "--associated", h.disk())
	return strings.TrimSpace(device), err
}

// AwaitSSH waits until the host's sshd answers and users can log in.
func (h *Host) AwaitSSH(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for {
		err := h.letsIn(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // the last attempt was interrupted, and says nothing about the host
		}
		if !h.On() {
			return fmt.Errorf("host %s has ended: %s", h.Config.Name, h.lastWords())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("sshd of host %s does not answer: %w: %s", h.Config.Name, errors.Join(last, ctx.Err()), h.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// letsIn returns nil once users can log in. Early in a boot sshd runs already, and admits only root.
func (h *Host) letsIn(ctx context.Context) error {
	if err := h.greet(ctx); err != nil {
		return err
	}
	if _, err := h.ReadFile("/run/nologin"); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(errors.New("users cannot log in yet: there is /run/nologin"), err)
	}
	return nil
}

// greet reads sshd's banner. It connects from the host's own namespace, which no filter blocks.
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

// lastWords returns the end of the host's console output.
func (h *Host) lastWords() string {
	text, err := os.ReadFile(h.console())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// PowerOff cuts the host's power: all of its processes end at once. Unsynced writes are kept, since the machine below
// keeps running. It may be repeated.
func (h *Host) PowerOff() error {
	return errors.Join(h.kill(), h.detach())
}

// detach removes the loop device from the disk. The kernel allows that once the host's last mount is gone, which may
// be a moment after its last process.
func (h *Host) detach() error {
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		device, err := h.device()
		if device == "" || err != nil {
			return err
		}
		err = run("losetup", "--detach", device)
		if time.Since(start) > patience {
			return errors.Join(fmt.Errorf("host %s keeps %s busy", h.Config.Name, device), err)
		}
	}
}

// Reboot reboots the host from inside, in order, and returns once its sshd answers again. It watches from outside,
// since systemd also stops nsenter when it goes down.
func (h *Host) Reboot(ctx context.Context) error {
	before, err := h.init()
	if err != nil {
		return err
	}
	if _, err := h.Run(ctx, "systemctl", "--no-block", "reboot"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if now, err := h.init(); err == nil && now != before {
			return h.AwaitSSH(ctx)
		}
		if !h.On() {
			return fmt.Errorf("host %s has ended instead of rebooting: %s", h.Config.Name, h.lastWords())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("host %s does not reboot: %w: %s", h.Config.Name, ctx.Err(), h.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
