package systemd

import (
	"strings"
	"testing"
)

func firewallOptions() FirewallOptions {
	return FirewallOptions{Cluster: "main", Store: "/usr/local/lib/etcd-store/main", ConfigDir: "/etc/etcd/main", RunDir: "/run/etcd-store"}
}

// firewall is the unit's text.
func firewall(t *testing.T, o FirewallOptions) string {
	t.Helper()
	text, err := RenderFirewall(o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

const firewallName = "etcd-firewall@main.service"

func TestRenderFirewall(t *testing.T) { mustBeGolden(t, firewallName, firewall(t, firewallOptions())) }

func TestRenderFirewallRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*FirewallOptions){
		"a line in the name":    func(o *FirewallOptions) { o.Cluster = "main\nExecStart=/bin/sh" },
		"no program":            func(o *FirewallOptions) { o.Store = "" },
		"a line in a directory": func(o *FirewallOptions) { o.ConfigDir = "/data\nUser=root" },
		"a long way":            func(o *FirewallOptions) { o.ConfigDir = "/etc/../root" },
		"no place for a lock":   func(o *FirewallOptions) { o.RunDir = "" },
	} {
		o := firewallOptions()
		spoil(&o)
		if text, err := RenderFirewall(o); err == nil {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// TestFirewallComesBeforeTheMember holds the order of a boot: after whoever flushes all tables, and before the member.
func TestFirewallComesBeforeTheMember(t *testing.T) {
	text := firewall(t, firewallOptions())
	for _, line := range []string{"Before=etcd@main.service", "PartOf=etcd@main.service", "WantedBy=etcd@main.service", "After=nftables.service ", "PartOf=nftables.service ", "ReloadPropagatedFrom=nftables.service "} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("it has no %q", line)
		}
	}
}

// TestSystemdReadsFirewall holds that systemd understands every word, and makes little more of the unit's exposure than
// of that of a backup's. What it has beyond that is the right to have the kernel filter.
func TestSystemdReadsFirewall(t *testing.T) {
	units := map[string]string{firewallName: firewall(t, firewallOptions())}
	mustBeRead(t, units)
	mustBeExposedBy(t, "21", firewallName, units[firewallName])
}
