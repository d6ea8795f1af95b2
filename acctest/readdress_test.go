package acctest

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// moving is a cluster of three whose members are given other addresses.
type moving struct {
	*workspace
	setup setup
	ctl   etcdctl
	ids   map[string]string // of the members, at first
}

// movingCluster forms it. Its hosts know a by a name too, by which the cluster knows it where named says so.
func movingCluster(t *testing.T, named bool) *moving {
	t.Helper()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	for _, h := range l.Hosts {
		inHost(t, h, "sh", "-c", fmt.Sprintf("echo %s %s >>/etc/hosts", l.Host("a").Address(), nameOfA))
	}
	m := &moving{setup: setup{member: map[string]string{}}}
	if named {
		m.setup.member["a"] = byName(t, l)
	}
	m.workspace = newWorkspace(t, l, configuration(t, l, m.setup))
	m.apply()
	m.ctl, m.ids = m.client(), memberIDs(m.workspace)
	m.put(0)
	return m
}

const nameOfA = "etcd-a.example"

// byName are the attributes of a at its name.
func byName(t *testing.T, l *lab.Lab) string {
	t.Helper()
	return fmt.Sprintf("address = %q, ssh_address = %q, host_key = %q", nameOfA, l.Host("a").Address(), hostKey(t, l.Host("a")))
}

// put writes one of the keys that all members have in the end.
func (m *moving) put(n int) {
	m.t.Helper()
	m.ctl.must(m.endpoints()[2], "put", fmt.Sprintf("key/%d", n), "value")
}

// mustHave wants so many keys at every endpoint.
func (m *moving) mustHave(keys int) {
	m.t.Helper()
	for _, endpoint := range m.endpoints() {
		if found := m.ctl.must(endpoint, "get", "--prefix", "key/", "--keys-only"); strings.Count(found, "key/") != keys {
			m.t.Errorf("%s has\n%s", endpoint, found)
		}
	}
}

// renumber gives a member's machine another address, and takes the others of its network away.
func (m *moving) renumber(name string, last int, lose bool) {
	m.t.Helper()
	inHost(m.t, m.lab.Host(name), "sh", "-ec", fmt.Sprintf(`
		device=$(ip -o -4 route show 192.0.2.0/24 | sed -n 's/.* dev \([^ ]*\).*/\1/p')
		if %t; then ip address flush dev $device to 192.0.2.0/24; fi
		ip address replace 192.0.2.%d/24 dev $device`, lose, last))
}

// attributes are those of a member at an address.
func (m *moving) attributes(name, address string) string {
	return fmt.Sprintf("address = %q, host_key = %q", address, hostKey(m.t, m.lab.Host(name)))
}

// mustMove gives a member another address, by which it keeps its ID.
func (m *moving) mustMove(name, from, address, attributes string, lost bool) {
	m.t.Helper()
	m.setup.member[name] = attributes
	m.write("main.tf", configuration(m.t, m.lab, m.setup))
	step := fmt.Sprintf("readdress %s (%s): from %s, with its data and its ID; voters 3", name, address, from)
	if lost {
		step = strings.Replace(step, "voters 3", "nobody answers there", 1)
	}
	if plan := flatten(m.must("plan", "-no-color")); !strings.Contains(plan, step) || strings.Contains(plan, "learner "+name) {
		m.t.Errorf("the plan does not say %q, or says more than that:\n%s", step, plan)
	}
	m.apply()
	m.mustBeSettled()
	if now := memberIDs(m.workspace); !maps.Equal(now, m.ids) {
		m.t.Errorf("the members' IDs are %v by now, and were %v", now, m.ids)
	}
	if endpoints := fmt.Sprint(m.endpoints()); !strings.Contains(endpoints, "https://"+address+":2379") {
		m.t.Errorf("the endpoints are %s", endpoints)
	}
	if list := inHost(m.t, m.lab.Host(name), "sh", "-c", "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/prod/tls/client-ca.crt --cert=/etc/etcd/prod/tls/admin.crt --key=/etc/etcd/prod/tls/admin.key member list"); strings.Contains(list, from+":2380") || !strings.Contains(list, address+":2380") {
		m.t.Errorf("%s lists\n%s", name, list)
	}
}

// mustEnd destroys the cluster, of which nothing is left.
func (m *moving) mustEnd(t *testing.T) {
	m.t.Helper()
	m.destroy()
	for _, h := range m.lab.Hosts {
		mustBeBare(t, h)
	}
}

// TestReaddressing gives members other addresses on their machines: one that has both for a while, one whose old
// address is gone, and with it its service, and one that is known by a name from then on. All keep their data and their
// IDs.
func TestReaddressing(t *testing.T) {
	t.Parallel()
	m := movingCluster(t, false)
	m.renumber("c", 113, false)
	m.mustMove("c", m.lab.Host("c").Address(), "192.0.2.113", m.attributes("c", "192.0.2.113"), false)
	m.renumber("c", 113, true)
	m.mustBeSettled()
	m.put(1)

	m.renumber("b", 112, true)
	m.mustMove("b", m.lab.Host("b").Address(), "192.0.2.112", m.attributes("b", "192.0.2.112"), true)
	m.put(2)

	m.mustMove("a", m.lab.Host("a").Address(), nameOfA, byName(t, m.lab), false)
	for _, endpoint := range []string{"https://192.0.2.112:2379", "https://192.0.2.113:2379"} {
		if keys := m.ctl.must(endpoint, "get", "--prefix", "key/", "--keys-only"); strings.Count(keys, "key/") != 3 {
			t.Errorf("%s has\n%s", endpoint, keys)
		}
	}
	m.mustEnd(t)
}

// TestSecondAddressAndBack gives a member the second address of its machine, and reverts that while the operator cannot
// reach the first one any more, and again once it can. The member, which its peers reach by either, is never taken for
// one that has left.
func TestSecondAddressAndBack(t *testing.T) {
	sample.Leave(t, "TestReaddressing gives members second addresses, and the executor's tests revert that")
	t.Parallel()
	m := movingCluster(t, false)
	first, second := m.lab.Host("c").Address(), "192.0.2.113"
	m.renumber("c", 113, false)
	m.mustMove("c", first, second, m.attributes("c", second), false)
	route := func(verb string) {
		t.Helper()
		if text, err := m.lab.Command(t.Context(), "ip", "route", verb, "unreachable", first).CombinedOutput(); err != nil {
			t.Fatalf("%s: %s", err, text)
		}
	}
	route("add")
	m.mustBeSettled()
	m.setup.member["c"] = m.attributes("c", first)
	m.write("main.tf", configuration(t, m.lab, m.setup))
	m.mustFail([]string{"apply", "-auto-approve", "-no-color"}, "c ("+first+")", "No host was changed")
	if unit := inHost(t, m.lab.Host("c"), "systemctl", "is-active", "etcd@prod"); strings.TrimSpace(unit) != "active" {
		t.Errorf("the member of c is %s", unit)
	}
	m.put(1)
	m.mustHave(2)
	route("del")
	m.mustMove("c", second, first, m.attributes("c", first), false)
	m.mustHave(2)
	m.mustEnd(t)
}

// TestRenumbered gives all machines other addresses at once, one that was known by a name among them, and takes their
// old ones away: nobody is left whom the list could be changed through. The cluster is recovered with all that was
// acknowledged. Then its members get another port for peers, which is another peer URL too.
func TestRenumbered(t *testing.T) {
	sample.Leave(t, "the executor's tests and the properties of plans renumber whole clusters, and TestReaddressing gives members other addresses on booted hosts")
	t.Parallel()
	m := movingCluster(t, true)
	for i, name := range []string{"a", "b", "c"} {
		m.renumber(name, 121+i, true)
		m.setup.member[name] = m.attributes(name, fmt.Sprintf("192.0.2.%d", 121+i))
	}
	m.write("main.tf", configuration(t, m.lab, m.setup))
	plan := flatten(m.must("plan", "-no-color"))
	for _, says := range []string{"it alone is the cluster", "join it anew, their data moved aside; all logs were read, and none ends later, so that no acknowledged write is lost", "The cluster is recovered at its new addresses"} {
		if !strings.Contains(plan, says) {
			t.Errorf("the plan does not say %q:\n%s", says, plan)
		}
	}
	m.apply()
	m.mustBeSettled()
	now := memberIDs(m.workspace)
	kept := 0
	for name, id := range now {
		if id == m.ids[name] {
			kept++
		}
	}
	if kept != 1 {
		t.Errorf("of the members' IDs, %v, %d are of before: %v", now, kept, m.ids)
	}
	for _, endpoint := range m.endpoints() {
		if !strings.HasPrefix(endpoint, "https://192.0.2.12") {
			t.Errorf("the endpoints are %v", m.endpoints())
		}
	}
	m.mustHave(1)

	m.setup.cluster = "peer_port = 12380"
	m.write("main.tf", configuration(t, m.lab, m.setup))
	if plan := flatten(m.must("plan", "-no-color")); strings.Count(plan, ": from https://192.0.2.12") != 3 {
		t.Errorf("the plan does not re-address three members:\n%s", plan)
	}
	m.apply()
	m.mustBeSettled()
	if after := memberIDs(m.workspace); !maps.Equal(after, now) {
		t.Errorf("the members' IDs are %v by now, and were %v", after, now)
	}
	m.put(1)
	m.mustHave(2)
	m.mustEnd(t)
}

// memberIDs are etcd's IDs of the members, by their names.
func memberIDs(w *workspace) map[string]string {
	w.t.Helper()
	attributes, _ := w.state("etcd_cluster.prod")
	ids := map[string]string{}
	for name, m := range attributes["members"].(map[string]any) {
		ids[name] = m.(map[string]any)["id"].(string)
	}
	return ids
}
