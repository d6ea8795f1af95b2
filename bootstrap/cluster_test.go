package bootstrap_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/etcdflags"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestMember holds all that a member's host is told, for each kind of address.
func TestMember(t *testing.T) {
	for name, c := range map[string]bootstrap.Cluster{
		"ipv4":   cluster("192.0.2.11", "192.0.2.12", "192.0.2.13"),
		"ipv6":   cluster("2001:db8::11", "2001:DB8::12", "2001:db8::13"),
		"dns":    cluster("a.example.com", "b.example.com", "c.example.com"),
		"mapped": cluster("::ffff:192.0.2.11"),
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, "testdata/member/"+name+".txt", func(string) string {
				m := c.Members[0]
				var b strings.Builder
				write := func(title string, lines ...string) {
					fmt.Fprintf(&b, "%s\n  %s\n", title, strings.Join(lines, "\n  "))
				}
				write("endpoints", c.Endpoints()...)
				write("flags of a new cluster", c.Flags(m, ours, bootstrap.StateNew)...)
				for _, key := range c.Keys(m) {
					write("key "+key.Name, encode(t, key))
				}
				write("marker", encode(t, c.Marker(m, ours, api.PhaseForming)))
				return b.String()
			})
		})
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "  ", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFlags holds what flags are, beside what the golden files show.
func TestFlags(t *testing.T) {
	c := three()
	m := c.Members[0]
	fresh, serving := c.Flags(m, ours, bootstrap.StateNew), c.Flags(m, ours, bootstrap.StateExisting)
	if !sortedByName(fresh) {
		t.Errorf("not sorted by name: %v", fresh)
	}
	var differ []string
	for i := range fresh {
		if fresh[i] != serving[i] {
			differ = append(differ, serving[i])
		}
	}
	if want := []string{"--initial-cluster-state=existing"}; !slices.Equal(differ, want) {
		t.Errorf("a running cluster differs from a new one in %v, want %v", differ, want)
	}

	c.Settings = map[string]string{"quota-backend-bytes": "8589934592", "auto-compaction-retention": "5m"}
	if set := c.Flags(m, ours, bootstrap.StateNew); len(set) != len(fresh)+2 || !slices.Contains(set, "--quota-backend-bytes=8589934592") || !sortedByName(set) {
		t.Errorf("with settings: %v", set)
	}
}

// TestExtraFlags holds that what a configuration adds is told from what every member has, and that its feature gates
// come beside the provider's own.
func TestExtraFlags(t *testing.T) {
	c := three()
	m := c.Members[0]
	byName := func() map[string]string {
		flags := map[string]string{}
		for _, line := range c.Flags(m, ours, bootstrap.StateExisting) {
			name, value, _ := strings.Cut(strings.TrimPrefix(line, "--"), "=")
			flags[name] = value
		}
		return flags
	}
	own := byName()["feature-gates"]
	if extra := etcdflags.Extra(byName()); extra != nil {
		t.Errorf("nothing was added, and %v is found", extra)
	}
	c.Settings = map[string]string{"max-wals": "7", "feature-gates": "LeaseCheckpoint=true,StopGRPCServiceOnDefrag=true", "tls-min-version": "TLS1.3"}
	if extra := etcdflags.Extra(byName()); !maps.Equal(extra, c.Settings) {
		t.Errorf("%v was added, and %v is found", c.Settings, extra)
	}
	if got, want := byName()["feature-gates"], own+",LeaseCheckpoint=true,StopGRPCServiceOnDefrag=true"; got != want {
		t.Errorf("feature gates are %s, want %s", got, want)
	}
	for name := range byName() {
		if _, extra := c.Settings[name]; !extra && etcdflags.CheckName(name) == nil {
			t.Errorf("the provider sets --%s, and a configuration may as well", name)
		}
	}
}

// sortedByName tells whether flags are in the order of their names, each there once.
func sortedByName(flags []string) bool {
	var names []string
	for _, flag := range flags {
		name, _, _ := strings.Cut(flag, "=")
		names = append(names, name)
	}
	return slices.IsSorted(names) && len(slices.Compact(names)) == len(flags)
}

// TestMembersAreNotOneAnother holds that no two members are told the same.
func TestMembersAreNotOneAnother(t *testing.T) {
	c := three()
	seen := map[string]string{}
	for _, m := range c.Members {
		for _, text := range []string{
			strings.Join(c.Flags(m, ours, bootstrap.StateNew), "\n"),
			encode(t, c.Marker(m, ours, api.PhaseForming)),
			encode(t, c.Keys(m)[:2]),
		} {
			if other, taken := seen[text]; taken {
				t.Errorf("%s and %s are told the same: %s", m.Name, other, text)
			}
			seen[text] = m.Name
		}
	}
}

// TestUnit holds what decides the text of a unit.
func TestUnit(t *testing.T) {
	c := three()
	small, err := c.Unit(4 << 30)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(small, c.DataDir) || !strings.Contains(small, "prod") {
		t.Errorf("it knows neither the data directory nor the cluster:\n%s", small)
	}
	if large, err := c.Unit(64 << 30); err != nil || large == small {
		t.Errorf("it does not depend on the host's memory: %v", err)
	}
	c.DataDir = "not absolute"
	if _, err := c.Unit(4 << 30); err == nil {
		t.Error("a data directory that is no path is accepted")
	}
}

// TestAuthority holds that the two authorities are kept apart: a client certificate never opens the
// peer port.
func TestAuthority(t *testing.T) {
	c := three()
	for key, want := range map[string]string{api.KeyPeer: c.PeerCA, api.KeyServer: c.ClientCA, api.KeyAdmin: c.ClientCA} {
		if c.Authority(key) != want {
			t.Errorf("key %s is signed by the other authority", key)
		}
	}
}

// TestStore holds which store goes to which machine.
func TestStore(t *testing.T) {
	c := three()
	for machine, want := range map[string]string{"x86_64": "5707e", "aarch64": "a5707e", "armv7l": "", "amd64": ""} {
		if got := c.Store(api.Contact{Machine: machine}); got != want {
			t.Errorf("%s gets %q, want %q", machine, got, want)
		}
	}
}
