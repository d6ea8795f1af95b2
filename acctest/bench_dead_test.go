package acctest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// BenchmarkDeadHost plans, refreshes and applies with one dead host of three, and defaults: a host that is off, to which
// there is no way; one whose sshd is stopped, which refuses; and one that drops what it is sent. It reports each in
// seconds, beside the plan with all hosts. The change that is applied is one that disturbs nobody.
func BenchmarkDeadHost(b *testing.B) {
	l := up(b, lab.Config{Hosts: members("a", "b", "c")})
	w := newWorkspace(b, l, configuration(b, l, setup{}))
	w.apply()
	dead := l.Host("c")
	timed := func(name string, do func()) {
		b.Helper()
		started := time.Now()
		do()
		b.ReportMetric(time.Since(started).Seconds(), name)
	}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	// What is sent to a neighbour that is not there is lost without a word.
	neighbour := func(verb string, how ...string) error {
		line := fmt.Sprintf(`ip neigh %s %s dev "$(ip -o route get %[2]s | sed 's/.* dev \([^ ]*\).*/\1/')" %s`, verb, dead.Address(), strings.Join(how, " "))
		return l.Command(b.Context(), "sh", "-c", line).Run()
	}
	for b.Loop() {
		timed("plan-s", w.mustBeSettled)
		for _, fault := range []struct {
			name        string
			happen, end func()
		}{
			{"refused", func() { inHost(b, dead, "systemctl", "stop", "ssh.socket", "ssh.service") }, func() {
				must(dead.PowerOff())
				must(dead.PowerOn(b.Context()))
			}},
			{"dropped", func() { must(neighbour("replace", "lladdr", "02:00:00:00:00:fe", "nud", "permanent")) }, func() { must(neighbour("del")) }},
			{"off", func() { must(dead.PowerOff()) }, func() { must(dead.PowerOn(b.Context())) }},
		} {
			fault.happen()
			timed(fault.name+"-plan-s", func() {
				if output, code := w.planCode(); code != 2 {
					b.Fatalf("%s: plan -detailed-exitcode: %d, want 2: one host is not known\n%s", fault.name, code, output)
				}
			})
			timed(fault.name+"-refresh-s", func() { w.must("apply", "-refresh-only", "-auto-approve", "-no-color") })
			inHost(b, l.Host("a"), "systemctl", "disable", "etcd@prod")
			timed(fault.name+"-apply-s", func() { w.apply() })
			fault.end()
			w.apply()
		}
	}
	b.ReportMetric(0, "ns/op")
}
