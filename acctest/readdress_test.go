package acctest

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestReaddressing gives members other addresses on their machines: one that has both for a while, one whose old address is
// gone, and with it its service, and one that is known by a name from then on. All keep their data and their IDs.
func TestReaddressing(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	s := setup{member: map[string]string{}}
	w := newWorkspace(t, l, configuration(t, l, s))
	w.apply()
	client := w.client()
	client.must(w.endpoints()[0], "put", "key/0", "value")
	before := memberIDs(w)

	renumber := func(name string, last int, lose bool) {
		h := l.Host(name)
		inHost(t, h, "sh", "-ec", fmt.Sprintf(`
			device=$(ip -o -4 route show 192.0.2.0/24 | sed -n 's/.* dev \([^ ]*\).*/\1/p')
			if %t; then ip address flush dev $device to 192.0.2.0/24; fi
			ip address replace 192.0.2.%d/24 dev $device`, lose, last))
	}
	mustMove := func(name, from, address, attributes string, lost bool) {
		t.Helper()
		s.member[name] = attributes
		w.write("main.tf", configuration(t, l, s))
		step := fmt.Sprintf("readdress %s (%s): from %s, with its data and its ID; voters 3", name, address, from)
		if lost {
			step = strings.Replace(step, "voters 3", "nobody answers there", 1)
		}
		if plan := flatten(w.must("plan", "-no-color")); !strings.Contains(plan, step) || strings.Contains(plan, "learner "+name) {
			t.Errorf("the plan does not say %q, or says more than that:\n%s", step, plan)
		}
		w.apply()
		w.mustBeSettled()
		if now := memberIDs(w); !maps.Equal(now, before) {
			t.Errorf("the members' IDs are %v by now, and were %v", now, before)
		}
		if endpoints := fmt.Sprint(w.endpoints()); !strings.Contains(endpoints, "https://"+address+":2379") {
			t.Errorf("the endpoints are %s", endpoints)
		}
		if list := inHost(t, l.Host(name), "sh", "-c", "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/prod/tls/client-ca.crt --cert=/etc/etcd/prod/tls/admin.crt --key=/etc/etcd/prod/tls/admin.key member list"); strings.Contains(list, from+":2380") || !strings.Contains(list, address+":2380") {
			t.Errorf("%s lists\n%s", name, list)
		}
	}
	attributes := func(name, address string) string {
		return fmt.Sprintf("address = %q, host_key = %q", address, hostKey(t, l.Host(name)))
	}

	renumber("c", 113, false)
	mustMove("c", l.Host("c").Address(), "192.0.2.113", attributes("c", "192.0.2.113"), false)
	renumber("c", 113, true)
	w.mustBeSettled()
	client.must("https://192.0.2.113:2379", "put", "key/1", "value")

	renumber("b", 112, true)
	mustMove("b", l.Host("b").Address(), "192.0.2.112", attributes("b", "192.0.2.112"), true)
	client.must("https://192.0.2.112:2379", "put", "key/2", "value")

	a := l.Host("a")
	for _, h := range l.Hosts {
		inHost(t, h, "sh", "-c", fmt.Sprintf("echo %s etcd-a.example >>/etc/hosts", a.Address()))
	}
	mustMove("a", a.Address(), "etcd-a.example", attributes("a", "etcd-a.example")+fmt.Sprintf(", ssh_address = %q", a.Address()), false)
	client.must("https://192.0.2.113:2379", "put", "key/3", "value")

	for _, endpoint := range []string{"https://192.0.2.112:2379", "https://192.0.2.113:2379"} {
		if keys := client.must(endpoint, "get", "--prefix", "key/", "--keys-only"); strings.Count(keys, "key/") != 4 {
			t.Errorf("%s has\n%s", endpoint, keys)
		}
	}
	// All of them at once, and their old addresses gone: nobody is left whom the list could be changed through.
	for i, name := range []string{"a", "b", "c"} {
		renumber(name, 121+i, true)
		s.member[name] = attributes(name, fmt.Sprintf("192.0.2.%d", 121+i))
	}
	w.write("main.tf", configuration(t, l, s))
	plan := flatten(w.must("plan", "-no-color"))
	for _, says := range []string{"it alone is the cluster", "join it anew, their data moved aside; all logs were read, and none ends later, so that no acknowledged write is lost", "The cluster is recovered at its new addresses"} {
		if !strings.Contains(plan, says) {
			t.Errorf("the plan does not say %q:\n%s", says, plan)
		}
	}
	w.apply()
	w.mustBeSettled()
	now := memberIDs(w)
	kept := 0
	for name, id := range now {
		if id == before[name] {
			kept++
		}
	}
	if kept != 1 {
		t.Errorf("of the members' IDs, %v, %d are of before: %v", now, kept, before)
	}
	for _, endpoint := range w.endpoints() {
		if keys := client.must(endpoint, "get", "--prefix", "key/", "--keys-only"); strings.Count(keys, "key/") != 4 || !strings.HasPrefix(endpoint, "https://192.0.2.12") {
			t.Errorf("%s has\n%s", endpoint, keys)
		}
	}

	// Another port is another peer URL too.
	s.cluster = "peer_port = 12380"
	w.write("main.tf", configuration(t, l, s))
	if plan := flatten(w.must("plan", "-no-color")); strings.Count(plan, ": from https://192.0.2.12") != 3 {
		t.Errorf("the plan does not re-address three members:\n%s", plan)
	}
	w.apply()
	w.mustBeSettled()
	if after := memberIDs(w); !maps.Equal(after, now) {
		t.Errorf("the members' IDs are %v by now, and were %v", after, now)
	}
	client.must(w.endpoints()[0], "put", "key/4", "value")
	w.destroy()
	for _, h := range l.Hosts {
		mustBeBare(t, h)
	}
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
