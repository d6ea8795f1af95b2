package lab

import (
	"fmt"
	"os/exec"
	"strings"
)

// plugIn makes the host's network namespace and its cable to the bridge. Behind a bastion, its sshd is
// closed to all others before it runs.
func (h *Host) plugIn() error {
	ns := h.namespace()
	for _, args := range [][]string{
		{"netns", "add", ns},
		{"-n", h.lab.Namespace(), "link", "add", h.veth(), "type", "veth", "peer", "name", "eth0", "address", h.mac(), "netns", ns},
		{"-n", h.lab.Namespace(), "link", "set", h.veth(), "master", "br0", "up"},
		{"-n", ns, "link", "set", "lo", "up"},
		{"-n", ns, "addr", "add", h.Address() + "/24", "dev", "eth0"},
		{"-n", ns, "-6", "addr", "add", h.Address6() + "/64", "dev", "eth0", "nodad"},
		{"-n", ns, "link", "set", "eth0", "up"},
	} {
		if err := run("ip", args...); err != nil {
			return err
		}
	}
	if bastion := h.lab.bastion(); bastion != nil && bastion != h {
		return h.closeToAllBut(bastion)
	}
	return nil
}

// unplug takes cable and namespace away. The cable goes first: the kernel takes those of a namespace away
// only some time after it, and a host that is wiped needs the name at once.
func (h *Host) unplug() error {
	if _, err := output("ip", "-n", h.lab.Namespace(), "link", "show", h.veth()); err == nil {
		if err := run("ip", "-n", h.lab.Namespace(), "link", "del", h.veth()); err != nil {
			return err
		}
	}
	return removeNamespace(h.namespace())
}

// veth is the bridge's end of the host's cable.
func (h *Host) veth() string { return "h-" + h.Config.Name }

// mac is the address of the host's network card, which it keeps when it is wiped: others remember it.
func (h *Host) mac() string { return fmt.Sprintf("02:00:00:00:00:%02x", firstHost+h.index) }

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

// Cut takes the host off the network: nothing reaches it, and it reaches nothing.
func (h *Host) Cut() error { return h.set("down") }

// Join puts the host back on the network.
func (h *Host) Join() error { return h.set("up") }

func (h *Host) set(state string) error {
	return run("ip", "-n", h.lab.Namespace(), "link", "set", h.veth(), state)
}

// Throttle limits what the host receives from the network, to a rate as tc writes it: 8mbit.
func (h *Host) Throttle(rate string) error {
	return run("ip", "netns", "exec", h.lab.Namespace(),
		"tc", "qdisc", "replace", "dev", h.veth(), "root", "tbf", "rate", rate, "burst", "32kbit", "latency", "400ms")
}
