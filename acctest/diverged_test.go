package acctest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// asAdmin is etcdctl on a host, as its member's admin.
const asAdmin = "etcdctl --endpoints=https://127.0.0.1:2379 --cacert /etc/etcd/prod/tls/client-ca.crt --cert /etc/etcd/prod/tls/admin.crt --key /etc/etcd/prod/tls/admin.key "

// TestDivergedMemberIsRebuilt has the database of a member say something else than its log, with a writer on the
// cluster all the time. etcd raises its alarm; the plan finds who differs, though the writer's requests go on through
// the log, and the apply rebuilds it and takes the alarm back. Then a member differs that nobody has noticed: the
// rebuild of one that is right is refused. That one does not start, once it ends: the plan is refused, and its way on
// mends the cluster. No acknowledged write is lost.
func TestDivergedMemberIsRebuilt(t *testing.T) {
	sample.Leave(t, "the executor's tests rebuild members with other data, and TestComparison finds them among etcd's own databases")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	w.apply()
	c, endpoints := w.client(), w.endpoints()
	c.must(endpoints[0], "put", "truth", "is-what-was-written")

	// What it is told was written goes into a file, and what is refused does not.
	inHost(t, l.Host("a"), "systemd-run", "--quiet", "--unit=writer", "sh", "-c",
		`n=0; while :; do n=$((n+1)); `+asAdmin+`put written-$n $n >/dev/null 2>&1 && echo $n >>/tmp/written; sleep 0.05; done`)
	inHost(t, l.Host("a"), "sh", "-c", "until [ -s /tmp/written ]; do sleep 0.2; done")
	written := func() []string { return strings.Fields(inHost(t, l.Host("a"), "cat", "/tmp/written")) }
	diverge := func(name string) {
		t.Helper()
		inHost(t, l.Host(name), "sh", "-c", `systemctl stop etcd@prod && LC_ALL=C sed -i s/is-what-was-written/is-what-nobody-says/g /var/lib/etcd/prod/member/snap/db &&
			echo --feature-gates=InitialCorruptCheck=false >>/etc/etcd/prod/flags && systemctl start etcd@prod`)
	}
	reads := func(endpoint string) string {
		t.Helper()
		return strings.TrimSpace(c.must(endpoint, "get", "truth", "--consistency=s", "--print-value-only"))
	}
	sound := func() {
		t.Helper()
		for _, endpoint := range endpoints {
			if says := reads(endpoint); says != "is-what-was-written" {
				t.Errorf("%s says %q", endpoint, says)
			}
		}
		if alarms := c.must(endpoints[0], "alarm", "list"); strings.TrimSpace(alarms) != "" {
			t.Errorf("alarms: %s", alarms)
		}
		c.must(endpoints[0], "put", "again", "1")
	}

	before := len(written())
	diverge("c")
	c.await(endpoints, "get", "truth")
	if says := reads(endpoints[2]); says != "is-what-nobody-says" {
		t.Fatalf("c has not diverged: it says %q", says)
	}
	inHost(t, l.Host("a"), "sh", "-c", `rev=$(`+asAdmin+`get truth -w fields | sed -n 's/^"Revision" : //p'); `+asAdmin+`compact $rev`)
	for deadline := time.Now().Add(3 * time.Minute); !strings.Contains(c.must(endpoints[0], "alarm", "list"), "CORRUPT"); time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatal("etcd has raised no alarm")
		}
	}
	output, code := w.planCode()
	if flat := flatten(output); code != 2 || !strings.Contains(flat, "its data differs from that of a quorum") || !strings.Contains(flat, "alarm CORRUPT disarmed") {
		t.Errorf("a plan with the alarm: %d\n%s", code, output)
	}
	w.apply()
	w.mustRollOut("remove c", "disarm: all voters hold the same data", "join c", "promote c")
	w.mustBeSettled()
	sound()
	if now := len(written()); now <= before {
		t.Errorf("%d writes were acknowledged before, and %d by now", before, now)
	}

	// a differs, and serves, and nobody has raised an alarm. The rebuild of b, which is right, would leave a as one of
	// two, and is refused.
	diverge("a")
	c.await(endpoints, "get", "truth")
	rebuild := func(of, why string) {
		t.Helper()
		member := map[string]string{}
		for _, name := range []string{"a", "b", "c"} {
			member[name] = fmt.Sprintf("address = %q, host_key = %q", l.Host(name).Address(), hostKey(t, l.Host(name)))
		}
		member[of] += fmt.Sprintf(", rebuild = %q", why)
		w.write("main.tf", configuration(t, l, setup{member: member}))
	}
	rebuild("b", "somebody wants it")
	w.mustFail([]string{"apply", "-auto-approve", "-no-color"}, "voters that serve hold different data", "a quorum of the voters holds the same (b, c)",
		"stop a ("+l.Host("a").Address()+") (systemctl stop etcd@prod on its host)")

	// b does not start.
	inHost(t, l.Host("b"), "sh", "-c", "systemctl restart --no-block etcd@prod; sleep 20")
	w.mustFail([]string{"plan", "-no-color"}, "members that serve hold different data", "b ("+l.Host("b").Address()+") does not start, since a peer holds different data",
		"2 of 3 voters held", "stop a ("+l.Host("a").Address()+")")
	inHost(t, l.Host("a"), "systemctl", "stop", "etcd@prod")
	c.await(endpoints[1:], "get", "truth")
	rebuild("a", "it differs")
	w.apply()
	w.mustRollOut("remove a", "join a", "promote a")
	w.mustBeSettled()
	sound()

	inHost(t, l.Host("a"), "systemctl", "stop", "writer")
	for _, endpoint := range endpoints {
		kept := map[string]bool{}
		for _, key := range strings.Fields(c.must(endpoint, "get", "written-", "--prefix", "--keys-only", "--consistency=s")) {
			kept[strings.TrimPrefix(key, "written-")] = true
		}
		for _, n := range written() {
			if !kept[n] {
				t.Errorf("%s does not have write %s, which was acknowledged", endpoint, n)
			}
		}
	}
}
