package lab

import "fmt"

// plugIn makes the host's network namespace and its cable to the bridge.
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
	return nil
}

// unplug removes cable and namespace. The cable goes first: the kernel removes the cables of a namespace only some
// time after it, and a host that is wiped needs the name at once.
func (h *Host) unplug() error {
	if _, err := output("ip", "-n", h.lab.Namespace(), "link", "show", h.veth()); err == nil {
		if err := run("ip", "-n", h.lab.Namespace(), "link", "del", h.veth()); err != nil {
			return err
		}
	}
	return removeNamespace(h.namespace())
}

// veth is the name of the bridge's end of the host's cable.
func (h *Host) veth() string { return "h-" + h.Config.Name }

// mac is the address of the host's network card. A wipe keeps it, since other hosts remember it.
func (h *Host) mac() string { return fmt.Sprintf("02:00:00:00:00:%02x", firstHost+h.index) }

// Cut takes the host off the network: nothing reaches it, and it reaches nothing.
func (h *Host) Cut() error { return h.set("down") }

// Join puts the host back on the network.
func (h *Host) Join() error { return h.set("up") }

func (h *Host) set(state string) error {
	return run("ip", "-n", h.lab.Namespace(), "link", "set", h.veth(), state)
}

// Throttle limits the rate at which the host receives from the network, in tc's notation: 8mbit.
func (h *Host) Throttle(rate string) error {
	return h.lab.tc("replace", "dev", h.veth(), "root", "tbf", "rate", rate, "burst", "32kbit", "latency", "400ms")
}

// Unthrottle removes the limit, which has to exist.
func (h *Host) Unthrottle() error { return h.lab.tc("del", "dev", h.veth(), "root") }

func (l *Lab) tc(args ...string) error {
	return run("ip", append([]string{"netns", "exec", l.Namespace(), "tc", "qdisc"}, args...)...)
}
