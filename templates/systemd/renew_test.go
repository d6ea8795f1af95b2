package systemd

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func renewOptions() RenewOptions {
	return RenewOptions{
		Cluster: "main", Store: "/usr/local/lib/etcd-store/main", ConfigDir: "/etc/etcd/main", Metrics: "/var/lib/etcd-metrics", RunDir: "/run/etcd-store",
		Reaches: []string{"192.0.2.11", "2001:db8::8"},
	}
}

// renewal are the units of renewals, by the names of their files.
func renewal(t *testing.T, o RenewOptions) map[string]string {
	t.Helper()
	units, err := RenderRenewal(o)
	if err != nil {
		t.Fatal(err)
	}
	return units
}

func TestRenderRenewal(t *testing.T) {
	units := renewal(t, renewOptions())
	for name, text := range units {
		mustBeGolden(t, name, text)
	}
	if names := slices.Sorted(maps.Keys(units)); !slices.Equal(names, []string{"etcd-renew@main.service", "etcd-renew@main.timer"}) {
		t.Errorf("there are %q", names)
	}
	anywhere := renewOptions()
	anywhere.Reaches = nil
	if text := renewal(t, anywhere)["etcd-renew@main.service"]; strings.Contains(text, "IPAddress") {
		t.Errorf("a signing server that has a name is not reached:\n%s", text)
	}
}

func TestRenderRenewalRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*RenewOptions){
		"a line in the name":      func(o *RenewOptions) { o.Cluster = "main\nExecStart=/bin/sh" },
		"no program":              func(o *RenewOptions) { o.Store = "" },
		"a line in a directory":   func(o *RenewOptions) { o.ConfigDir = "/data\nUser=root" },
		"nowhere to write":        func(o *RenewOptions) { o.Metrics = "" },
		"a long way to the locks": func(o *RenewOptions) { o.RunDir = "/run/../etc" },
		"an address that is none": func(o *RenewOptions) { o.Reaches = []string{"any\nUser=root"} },
	} {
		o := renewOptions()
		spoil(&o)
		if units, err := RenderRenewal(o); err == nil {
			t.Errorf("%s: %q", name, units)
		}
	}
}

// TestSystemdReadsRenewal holds that systemd understands every word, and makes little more of the unit's exposure than
// of that of a backup's. What it has beyond that is the right to give keys to the user that members run as.
func TestSystemdReadsRenewal(t *testing.T) {
	units := renewal(t, renewOptions())
	mustBeRead(t, units)
	const service = "etcd-renew@main.service"
	mustBeExposedBy(t, "20", service, units[service])
}
