package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Run runs a program on the host as root, past its network and sshd, and returns what it printed. A
// program that fails is an error that holds what it printed.
func (h *Host) Run(ctx context.Context, args ...string) (string, error) {
	init, err := h.init()
	if err != nil {
		return "", err
	}
	enter := []string{"--target", strconv.Itoa(init), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--",
		"env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	text, err := exec.CommandContext(ctx, "nsenter", append(enter, args...)...).CombinedOutput()
	if err != nil {
		return string(text), fmt.Errorf("%s: %s: %w: %s", h.Config.Name, strings.Join(args, " "), err, text)
	}
	return string(text), nil
}

// init is the process, as this machine numbers it, that is PID 1 on the host.
func (h *Host) init() (int, error) {
	pids, err := output("ip", "netns", "pids", h.namespace())
	if err != nil {
		return 0, err
	}
	for pid := range strings.FieldsSeq(pids) {
		status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
		if err != nil {
			continue // it has ended since
		}
		for line := range strings.Lines(string(status)) {
			if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "NSpid:" && fields[len(fields)-1] == "1" {
				return strconv.Atoi(pid)
			}
		}
	}
	return 0, fmt.Errorf("host %s is off", h.Config.Name)
}

// ReadFile reads a file of the host, which may be off.
func (h *Host) ReadFile(path string) (string, error) {
	text, err := os.ReadFile(filepath.Join(h.root(), path))
	return string(text), err
}

// Cut takes the host off the network: nothing reaches it, and it reaches nothing.
func (h *Host) Cut() error { return h.cable("down") }

// Join puts the host back on the network.
func (h *Host) Join() error { return h.cable("up") }

func (h *Host) cable(state string) error {
	return run("ip", "-n", h.lab.Namespace(), "link", "set", h.veth(), state)
}

// Throttle limits what the host receives from the network, to a rate as tc writes it: 8mbit.
func (h *Host) Throttle(rate string) error {
	return run("ip", "netns", "exec", h.lab.Namespace(),
		"tc", "qdisc", "replace", "dev", h.veth(), "root", "tbf", "rate", rate, "burst", "32kbit", "latency", "400ms")
}

// Wipe cuts the host's power and boots it from a fresh image with a fresh disk: the machine that came
// back from the provider re-imaged. Its addresses and its host key stay.
func (h *Host) Wipe(ctx context.Context) error {
	if err := errors.Join(h.PowerOff(), h.unmount(), removeNamespace(h.namespace())); err != nil {
		return err
	}
	for _, part := range []string{"upper", "work", "root"} {
		if err := os.RemoveAll(filepath.Join(h.dir, part)); err != nil {
			return err
		}
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

// closeToAllBut lets the host's sshd be reached from one other host alone.
func (h *Host) closeToAllBut(other *Host) error {
	rules := fmt.Sprintf(`table inet lab {
	chain input {
		type filter hook input priority 0
		iifname "lo" accept
		tcp dport %[1]d ip saddr %[2]s accept
		tcp dport %[1]d ip6 saddr %[3]s accept
		tcp dport %[1]d drop
	}
}
`, h.Config.Port, other.Address(), other.Address6())
	command := exec.Command("ip", "netns", "exec", h.namespace(), "nft", "-f", "-")
	command.Stdin = strings.NewReader(rules)
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("close sshd of host %s: %w: %s", h.Config.Name, err, text)
	}
	return nil
}

// On tells whether the host is on.
func (h *Host) On() bool {
	_, on := readProcess(h.pidFile())
	return on
}
