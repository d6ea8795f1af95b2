package cluster

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
)

// TestImportBlockDialsSSHD holds that the import block of a refusal names what an import can dial: the sshd of the
// hosts, and no member's address where that is another. An import has one port for all of them.
func TestImportBlockDialsSSHD(t *testing.T) {
	at := func(address, ssh string, port int64) memberModel {
		m := memberModel{Address: types.StringValue(address)}
		if ssh != "" {
			m.SSHAddress = types.StringValue(ssh)
		}
		if port != 0 {
			m.SSHPort = types.Int64Value(port)
		}
		return m
	}
	for name, test := range map[string]struct {
		members    map[string]memberModel
		hosts, why string
	}{
		"at their addresses":  {map[string]memberModel{"a": at("192.0.2.11", "", 0), "b": at("192.0.2.12", "", 0)}, "192.0.2.11,192.0.2.12", ""},
		"at other addresses":  {map[string]memberModel{"a": at("10.0.0.1", "198.51.100.1", 0), "b": at("10.0.0.2", "", 0)}, "198.51.100.1,10.0.0.2", ""},
		"at another port":     {map[string]memberModel{"a": at("10.0.0.1", "198.51.100.1", 2222), "b": at("10.0.0.2", "198.51.100.2", 2222)}, "198.51.100.1,198.51.100.2", "ETCD_SSH_PORT, to 2222"},
		"one behind NAT":      {map[string]memberModel{"a": at("10.0.0.1", "198.51.100.1", 2201), "b": at("10.0.0.2", "", 0), "c": at("10.0.0.3", "", 0)}, "10.0.0.2,10.0.0.3", "names only hosts without one"},
		"each at its own":     {map[string]memberModel{"a": at("10.0.0.1", "198.51.100.1", 2201), "b": at("10.0.0.2", "198.51.100.1", 2202)}, "198.51.100.1", "ETCD_SSH_PORT, to 2201"},
		"an IPv6 sshd's host": {map[string]memberModel{"a": at("10.0.0.1", "2001:db8::1", 0)}, "2001:db8::1", ""},
	} {
		c := clusterModel{Name: types.StringValue("prod")}
		text := bootstrap.HowToImport(c.spec(test.members))
		id := regexp.MustCompile(`to = etcd_cluster\.prod\n  id = "(.*)"`).FindStringSubmatch(text)
		if id == nil {
			t.Fatalf("%s: no block in %s", name, text)
		}
		_, hosts, err := parseImport(id[1])
		if got := strings.Join(hosts, ","); err != nil || got != test.hosts {
			t.Errorf("%s: it names %s, want %s (%v)", name, got, test.hosts, err)
		}
		if !strings.Contains(text, test.why) || test.why == "" && strings.Contains(text, "ssh_port") {
			t.Errorf("%s: it says %s, want %q", name, text, test.why)
		}
	}
}
