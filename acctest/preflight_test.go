package acctest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestPlanLooksAtNewHosts has plans that bring hosts which cannot carry a member: each is refused by the plan, with
// nothing changed on any host. The apply of one that nobody could look at in the plan says that no step was done.
func TestPlanLooksAtNewHosts(t *testing.T) {
	sample.Leave(t, "TestPlanRefusesHostsForWhatItSees is its like in the resources")
	t.Parallel()
	configs := members("a", "b", "c", "full", "small", "fit")
	configs[3].SmallUsr = 20 << 20    // no room for the store
	configs[4].DeviceBytes = 20 << 20 // nor for the data
	l := up(t, lab.Config{Hosts: configs})
	fit := l.Host("fit")
	inHost(t, l.Host("small"), "sh", "-c", "mkfs.ext4 -q /dev/sdb && mkdir -p /var/lib/etcd && mount /dev/sdb /var/lib/etcd")

	const briefly = "connect_timeout = \"5s\"\n    "
	ssh := briefly + fmt.Sprintf("user = \"root\"\n    private_key_file = %q", l.KeyFile())
	with := func(c, more string) string {
		s := setup{ssh: ssh, cluster: more, member: map[string]string{"full": "", "small": "", "fit": ""}}
		if c != "" {
			s.member["c"] = c
		}
		return configuration(t, l, s)
	}
	on := func(h *lab.Host) string {
		return fmt.Sprintf("address = %q, host_key = %q", h.Address(), hostKey(t, h))
	}
	nobody := fmt.Sprintf("address = \"192.0.2.250\", host_key = %q", hostKey(t, fit))
	otherKey := fmt.Sprintf("address = %q, host_key = %q", fit.Address(), hostKey(t, l.Host("a")))

	w := newWorkspace(t, l, with(nobody, ""))
	w.mustFail([]string{"plan", "-no-color"}, "c (192.0.2.250)", "unreachable over SSH", "No host was changed")
	w.write("main.tf", with(otherKey, ""))
	w.mustFail([]string{"plan", "-no-color"}, "c ("+fit.Address()+")", "host key mismatch")
	w.write("main.tf", with("", ""))
	w.apply()
	w.mustBeSettled()
	w.client().must(w.endpoints()[0], "put", "key", "precious")

	before := traces(t, l.Host("a"))
	untouched := func(name string) {
		t.Helper()
		if after := traces(t, l.Host("a")); after != before {
			t.Errorf("%s: a host was changed:\n%s\n%s", name, before, after)
		}
		mustBeUntouched(t, l.Host("full"))
		mustBeUntouched(t, fit)
		if found := inHost(t, l.Host("small"), "sh", "-c", "ls -d /usr/local/lib/etcd-store /etc/etcd /var/lib/etcd/prod 2>/dev/null || true"); found != "" {
			t.Errorf("%s: the host without room was changed: %s", name, found)
		}
	}
	for name, test := range map[string]struct {
		c    string
		says []string
	}{
		"a mistyped address":        {nobody, []string{"c (192.0.2.250)", "unreachable over SSH"}},
		"another host key":          {otherKey, []string{"c (" + fit.Address() + ")", "host key mismatch"}},
		"no room for the store":     {on(l.Host("full")), []string{"MiB are free for /usr/local/lib/etcd-store and 128 are needed"}},
		"no room for the data":      {on(l.Host("small")), []string{"MiB are free for the data in /var/lib/etcd/prod and 160 are needed"}},
		"the host of another one":   {fmt.Sprintf("address = \"192.0.2.13\", ssh_address = %q, host_key = %q", l.Host("b").Address(), hostKey(t, l.Host("b"))), []string{"leads to the machine of member b"}},
		"a bare host in its place":  {fmt.Sprintf("address = %q, ssh_address = %q, host_key = %q", l.Host("c").Address(), fit.Address(), hostKey(t, fit)), []string{"leads to a machine that carries nothing of it, while the member has connections with a, b"}},
		"another address of member": {fmt.Sprintf("address = %q, ssh_address = %q, host_key = %q", fit.Address(), l.Host("c").Address(), hostKey(t, l.Host("c"))), []string{"none of its interfaces has the address 192.0.2.16"}},
	} {
		w.write("main.tf", with(test.c, ""))
		w.mustFail([]string{"plan", "-no-color"}, append(test.says, "No host was changed")...)
		untouched(name)
	}

	inHost(t, fit, "systemd-run", "--quiet", "--unit=squatter", "systemd-socket-activate", "-l", "2379", "/bin/cat")
	inHost(t, fit, "sh", "-c", "until grep -q ':094B .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done")
	w.write("main.tf", with(on(fit), ""))
	w.mustFail([]string{"plan", "-no-color"}, "something else listens on port 2379 (systemd-socket-, process "+strings.TrimSpace(inHost(t, fit, "systemctl", "show", "--value", "-p", "MainPID", "squatter"))+")")
	inHost(t, fit, "systemctl", "stop", "squatter")
	untouched("a port that is taken")

	// The ways to two members are swapped by mistake, keys and all: neither is dead, and neither host is touched.
	a, b := l.Host("a"), l.Host("b")
	by := func(m, through *lab.Host) string {
		return fmt.Sprintf("address = %q, ssh_address = %q, host_key = %q", m.Address(), through.Address(), hostKey(t, through))
	}
	w.write("main.tf", configuration(t, l, setup{ssh: ssh, member: map[string]string{"a": by(a, b), "b": by(b, a), "full": "", "small": "", "fit": ""}}))
	w.mustFail([]string{"plan", "-no-color"}, "its address leads to the machine of member a", "its address leads to the machine of member b")
	w.mustFail([]string{"apply", "-auto-approve", "-no-color"}, "which may have been swapped")
	untouched("two ways swapped")
	w.write("main.tf", with("", ""))
	w.mustBeSettled()

	// The plan is told not to look: the apply looks, and says what it did.
	w.write("main.tf", with(on(l.Host("small")), "preflight_at_plan = false"))
	output := w.applyFails("c ("+l.Host("small").Address()+")", "MiB are free for the data in /var/lib/etcd/prod", "No step was done, and no host was changed")
	if strings.Contains(flatten(output), "foreign") {
		t.Errorf("a host that is full is called foreign:\n%s", output)
	}
	untouched("an apply that did not look in its plan")

	// With the state lost, everything would be made anew, the authorities first: refused by the plan, and what lets the
	// operator in stays as it is.
	other := newWorkspace(t, l, with("", ""))
	other.write("client.crt", w.read("client.crt"))
	other.applyFails("finished cluster prod", "to = etcd_cluster.prod")
	if other.read("client.crt") != w.read("client.crt") {
		t.Error("the operator's certificate was overwritten")
	}
	if pki, _ := other.state("etcd_pki.prod"); pki != nil {
		t.Errorf("an authority was made: %v", pki)
	}
	other.mustFail([]string{"apply", "-auto-approve", "-no-color", "-target=etcd_certificate.client"}, "client.crt is not overwritten", "a certificate of another authority")
	if other.read("client.crt") != w.read("client.crt") {
		t.Error("the operator's certificate was overwritten")
	}
	untouched("a create without the state")

	// What is fit is taken.
	w.write("main.tf", with(on(fit), ""))
	w.apply()
	w.mustBeSettled()
	if value := w.client().must(w.endpoints()[2], "get", "--print-value-only", "key"); strings.TrimSpace(value) != "precious" {
		t.Errorf("the key reads %q", value)
	}
}
