package acctest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// BenchmarkDeadHost plans, refreshes and applies with one dead host of three, and defaults: a host that is off, to
// which there is no way; one whose sshd is stopped, which refuses; and one that drops what it is sent. It reports each
// in seconds, beside the plan with all hosts. The change that is applied is one that disturbs nobody.
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

// BenchmarkReplaceDead replaces a dead member of three, with little data, by one on a bare host. It reports in seconds
// the whole apply, and of that how long the store was on its way to the host, how long etcd took until it answered
// there as a learner, and how long the learner then had to catch up and to keep pace until it got its vote.
func BenchmarkReplaceDead(b *testing.B) {
	l := up(b, lab.Config{Hosts: members("a", "b", "c", "d")})
	w := newWorkspace(b, l, configuration(b, l, setup{at: on("a", "b", "c")}))
	w.apply()
	w.client().must(endpointOf(l.Host("a")), "put", "key", "value")
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	var applied time.Duration
	took := map[string]time.Duration{}
	dead, heir, slots := "c", "d", map[string]setup{"d": {at: on("a", "b", "c@d")}, "c": {at: on("a", "b", "c")}}
	for b.Loop() {
		must(l.Host(dead).PowerOff())
		w.write("main.tf", configuration(b, l, slots[heir]))
		w.write("progress.log", "")
		stop := w.timeSteps()
		started := time.Now()
		w.apply()
		applied += time.Since(started)
		for kind, d := range stop() {
			took[kind] += d
		}
		w.mustRollOut("remove c", "join c", "promote c")
		must(l.Host(dead).Wipe(b.Context()))
		dead, heir = heir, dead
	}
	b.Logf("steps of each kind took, in all: %v", took)
	for name, d := range map[string]time.Duration{"apply-s": applied, "upload-s": took["stage"], "join-s": took["join"], "promote-s": took["promote"], "beside-upload-s": applied - took["stage"]} {
		b.ReportMetric(d.Seconds()/float64(b.N), name)
	}
	b.ReportMetric(0, "ns/op")
}

// timeSteps watches the progress log until its result is called, which is how long steps of each kind took.
func (w *workspace) timeSteps() func() map[string]time.Duration {
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan map[string]time.Duration, 1)
	go func() {
		took, last, since, known := map[string]time.Duration{}, "plan", time.Now(), 0
		for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
			lines := strings.Split(w.read("progress.log"), "\n")
			for ; known < len(lines)-1; known++ {
				step, is := stepOf(lines[known])
				if !is {
					continue
				}
				kind, _, _ := strings.Cut(step, " ")
				if kind != last {
					took[last] += time.Since(since)
					last, since = kind, time.Now()
				}
			}
		}
		took[last] += time.Since(since)
		ended <- took
	}()
	return func() map[string]time.Duration { stop(); return <-ended }
}
