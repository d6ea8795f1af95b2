package acctest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/load"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// everyStep tells whether faults are to be put into every step of every change (make faults), or into some steps of a
// replacement. ETCD_FAULTS=some puts them into some steps of every change.
func everyStep() bool { return os.Getenv("ETCD_FAULTS") == "all" }

// everyChange tells whether faults are to be put into every change, or into a replacement alone.
func everyChange() bool { return everyStep() || os.Getenv("ETCD_FAULTS") == "some" }

// stride is how many steps there are from one fault to the next: one in make faults, some in make test-all, and more in
// make test.
func stride(some int) int {
	switch {
	case everyStep():
		return 1
	case testing.Short():
		return 2*some + 1
	}
	return some
}

// firstStep is the step at which faults begin: a run of make faults that was ended continues from there.
func firstStep(t *testing.T, otherwise int) int {
	t.Helper()
	from := os.Getenv("ETCD_FAULTS_FROM")
	if from == "" {
		return otherwise
	}
	step, err := strconv.Atoi(from)
	if err != nil || step < 1 {
		t.Fatalf("ETCD_FAULTS_FROM is %q: give the number of a step, from 1 on", from)
	}
	return step
}

// changes are what faults are put into: each is done again and again, to and fro.
var changes = map[string][2]setup{
	"readdress": {{at: on("a", "b", "c"), second: map[string]bool{"b": true, "c": true}}, {at: on("a", "b", "c")}},
	"rebuild":   {{at: on("a", "b", "c"), rebuild: map[string]string{"b": "2", "c": "2"}}, {at: on("a", "b", "c"), rebuild: map[string]string{"b": "1", "c": "1"}}},
	"replace":   {{at: on("a", "b", "c@d")}, {at: on("a", "b", "c")}},
	"resize":    {{at: on("a", "b", "c", "d", "e")}, {at: on("a", "b", "c")}},
	"roll":      {{at: on("a", "b", "c"), cluster: `settings = { snapshot_count = 5000 }`}, {at: on("a", "b", "c")}},
}

// TestChangeKilledAtEveryStep kills the provider as each step of a change begins, with a writer on the cluster.
// Each time the next apply goes on from what it finds: no learner is left over, and no acknowledged write is lost.
func TestChangeKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	disturbed(t, killedAtStep)
}

// killedAtStep kills the provider of a run.
func killedAtStep(v *underLoad, _ []string, cli int) {
	if v.killProvider(cli) == 0 {
		v.t.Fatal("there is no provider to kill")
	}
}

// TestPowerCutAtEveryStep cuts the power of the host that a step is done to as it begins, and gives it back once
// the apply has ended.
func TestPowerCutAtEveryStep(t *testing.T) {
	t.Parallel()
	disturbed(t, powerCutAtStep)
}

// powerCutAtStep cuts the power of the host that the step is done to which has just begun.
func powerCutAtStep(v *underLoad, begun []string, _ int) {
	for _, h := range v.lab.Hosts {
		if step := begun[len(begun)-1]; strings.Contains(step, "("+h.Address()+")") || strings.Contains(step, "("+secondAddress(h)+")") {
			if err := h.PowerOff(); err != nil {
				v.t.Fatal(err)
			}
			return
		}
	}
}

// disturbed does something to every change at each of its steps.
func disturbed(t *testing.T, disturb func(v *underLoad, begun []string, cli int)) {
	for name, between := range changes {
		if name != "replace" && !everyChange() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := up(t, lab.Config{Hosts: members("a", "b", "c", "d", "e")})
			for _, h := range l.Hosts {
				inHost(t, h, "sh", "-ec", fmt.Sprintf("ip address add %s/24 dev $(ip -o -4 route show 192.0.2.0/24 | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')", secondAddress(h)))
			}
			v := loadedBesideOthers(t, l, between[1])
			slot, ended := 0, false
			for step := firstStep(t, min(4, stride(4))); !ended; step += stride(4) {
				v.setup = between[slot%2]
				slot++
				v.write("main.tf", configuration(t, l, v.setup))
				ended = v.disturbAt(step, disturb)
				v.goOn()
				if t.Failed() {
					t.Fatalf("at step %d", step)
				}
			}
			if slot < 2 {
				t.Errorf("%d changes were disturbed: the progress was not understood", slot-1)
			}
			v.check(func(r *load.Report) {
				besideOthers(r)
				r.Limits.Silent, r.Limits.Tolerance = 10*time.Second, 10*time.Second
			})
		})
	}
}

// secondAddress is another address that a host has in these tests.
func secondAddress(h *lab.Host) string {
	return strings.Replace(h.Address(), "192.0.2.", "192.0.2.1", 1)
}

// disturbAt applies, and does something to the run as a step begins. true: the change has fewer steps.
func (v *underLoad) disturbAt(step int, disturb func(v *underLoad, begun []string, cli int)) bool {
	v.t.Helper()
	v.write("progress.log", "")
	command, output := v.command("apply", "-auto-approve", "-no-color")
	if err := command.Start(); err != nil {
		v.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for {
		begun := v.progressed()
		if len(begun) >= step {
			v.mark(fmt.Sprintf("%d: %s", step, begun[step-1]))
			disturb(v, begun[:step], command.Process.Pid)
			<-ended // it may go well all the same
			return false
		}
		select {
		case err := <-ended:
			if err != nil {
				v.t.Fatalf("apply failed by itself before step %d: %v\n%s", step, err, output)
			}
			return true
		case <-time.After(look):
		}
	}
}

// goOn has every host powered, and applies until the change is done. A host that has just come back may have
// been away while its member was removed; the apply that finds it so plans anew.
func (v *underLoad) goOn() {
	v.t.Helper()
	v.powerOn()
	v.apply()
	v.mustBeSettled()
	if err := v.run.SetEndpoints(v.t.Context(), v.endpoints()...); err != nil {
		v.t.Fatal(err)
	}
	list := v.client().must(v.endpoints()[0], "member", "list")
	if n := strings.Count(list, ", started, "); n != len(v.setup.at) || strings.Count(list, "\n") != n || strings.Contains(list, ", true") {
		v.t.Errorf("%d members are wanted, all voters, and there are:\n%s", len(v.setup.at), list)
	}
}

// TestTwoChangesAtOnce has two state files change the same cluster at the same time: one does, and the other is
// told who is at work, with nothing changed by it.
func TestTwoChangesAtOnce(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	first := newWorkspace(t, l, configuration(t, l, setup{}))
	first.apply()
	second := newWorkspace(t, l, configuration(t, l, setup{cluster: `settings = { max_txn_ops = 256 }`}))
	for _, name := range []string{"terraform.tfstate", "client.key", "client.crt"} {
		second.write(name, first.read(name))
	}
	first.write("main.tf", configuration(t, l, setup{cluster: `settings = { snapshot_count = 5000 }`}))
	first.write("progress.log", "")
	command, output := first.command("apply", "-auto-approve", "-no-color", "-parallelism=10")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for stepsBegun(first.read("progress.log"), 1) == 0 {
		select {
		case err := <-ended:
			t.Fatalf("the first change ended early: %v\n%s", err, output)
		case <-time.After(look):
		}
	}
	second.mustFail([]string{"apply", "-auto-approve", "-no-color", "-parallelism=10"}, "cluster prod is locked by")
	if log := second.read("progress.log"); log != "" {
		t.Errorf("the second change did something:\n%s", log)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the first change failed: %v\n%s", err, output)
	}
	first.mustBeSettled()
}

// TestInterruptedChange has terraform interrupted in the middle of a roll, as Ctrl-C does: it stops between two
// steps, and the next apply goes on.
func TestInterruptedChange(t *testing.T) {
	sample.Leave(t, "TestInterrupted interrupts a create in the same way, and TestInterruptFinishesTheStep a change")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	w.apply()
	w.write("main.tf", configuration(t, l, setup{cluster: `settings = { snapshot_count = 5000 }`}))
	output, _ := w.duringStep(5, func(cli int) {
		if err := syscall.Kill(cli, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	})
	if flat := flatten(output); !strings.Contains(flat, "stopped before") {
		t.Errorf("the error does not say where the change stopped:\n%s", output)
	}
	w.apply()
	w.mustBeSettled()
}

// TestLearnerBehindIsNotPromoted slows a new member's network down as it is about to be given its vote, under more
// writes than it can follow then: it falls behind to where etcd itself would still promote it, and gets no vote from
// us until it has caught up.
func TestLearnerBehindIsNotPromoted(t *testing.T) {
	sample.Leave(t, "the tests of the executor have a learner that is behind")
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d")})
	w := newWorkspace(t, l, configuration(t, l, setup{at: on("a", "b", "c")}))
	w.apply()
	client := w.client()
	voter, learner := l.Host("a"), l.Host("d")
	config := w.loading()
	config.Modes, config.InFlight, config.ValueBytes, config.For, config.Count = []load.Mode{load.Balanced}, 32, 512, 3*time.Minute, 2_000_000
	run, err := load.Start(t.Context(), l.Command, config)
	if err != nil {
		t.Fatal(err)
	}
	// A tenth of the log, which etcd allows it to be behind, has to be far more than we do.
	for deadline := time.Now().Add(time.Minute); raftIndex(t, voter) < 20_000 && time.Now().Before(deadline); {
		time.Sleep(time.Second)
	}
	w.write("main.tf", configuration(t, l, setup{at: on("a", "b", "c@d")}))
	w.write("progress.log", "")
	command, output := w.command("apply", "-auto-approve", "-no-color")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for !strings.Contains(w.read("progress.log"), " promote c ") {
		select {
		case err := <-ended:
			t.Fatalf("the change ended before it came to the promotion: %v\n%s", err, output)
		case <-time.After(look):
		}
	}
	if err := l.Host("d").Throttle("256kbit"); err != nil {
		t.Fatal(err)
	}
	tempted := 0
	for deadline := time.Now().Add(time.Minute); tempted == 0 && time.Now().Before(deadline); {
		behind, index := raftIndex(t, learner), raftIndex(t, voter)
		list := client.must(w.endpoints()[0], "member", "list")
		if !strings.Contains(list, ", true") {
			t.Errorf("it was promoted at index %d of %d", behind, index)
			break
		}
		if behind > 0 && behind*10 > index*9 && index-behind > 600 {
			tempted++
		}
	}
	if tempted == 0 {
		t.Errorf("it was never seen where etcd alone would promote it and we do not")
	}
	if err := l.Host("d").Unthrottle(); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the change failed: %v\n%s", err, output)
	}
	w.mustBeSettled()
}

// raftIndex is how far the log of a host's member has come, asked on the host itself; 0: it does not say.
func raftIndex(t *testing.T, h *lab.Host) (index int) {
	t.Helper()
	tls := "/etc/etcd/prod/tls/"
	output, err := h.Run(t.Context(), "etcdctl", "--endpoints=https://127.0.0.1:2379", "--cacert="+tls+"client-ca.crt", "--cert="+tls+"admin.crt", "--key="+tls+"admin.key",
		"endpoint", "status", "-w", "fields")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(output) {
		if _, err := fmt.Sscanf(strings.TrimSpace(line), `"RaftIndex" : %d`, &index); err == nil {
			return index
		}
	}
	return 0
}

// TestQuorumLost loses two of three hosts: the plan says so, with how far the survivor has come, and touches
// nothing; recovered from that by name, the cluster has all that it had.
func TestQuorumLost(t *testing.T) {
	sample.Leave(t, "TestTheRightSurvivor recovers on booted hosts from a lost quorum, and the resources have its plans")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	w.apply()
	client := w.client()
	for i := range 20 {
		client.must(w.endpoints()[i%3], "put", fmt.Sprintf("kept/%d", i), "value")
	}
	for _, name := range []string{"b", "c"} {
		if err := l.Host(name).Wipe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before := traces(t, l.Host("a"))
	w.mustFail([]string{"plan", "-no-color"}, "the quorum is lost: 1 of 3 voters", "a (192.0.2.11) has term", "recover_from")
	recovery := func(abandons, id string) string {
		return fmt.Sprintf("recover_from = { member = \"a\", abandons = [%s], cluster_id = %q }", abandons, id)
	}
	w.write("main.tf", configuration(t, l, setup{cluster: recovery(`"b"`, w.clusterID())}))
	w.mustFail([]string{"plan", "-no-color"}, "the other voters, whose data is given up, are b, c, and recover_from.abandons names b")
	w.write("main.tf", configuration(t, l, setup{cluster: recovery(`"b", "c"`, "66")}))
	w.mustFail([]string{"plan", "-no-color"}, "This is another cluster")
	if after := traces(t, l.Host("a")); after != before {
		t.Errorf("a plan that was refused has changed a:\n%s\n%s", before, after)
	}
	w.write("main.tf", configuration(t, l, setup{cluster: recovery(`"b", "c"`, w.clusterID())}))
	w.apply()
	w.mustBeSettled()
	w.write("main.tf", configuration(t, l, setup{}))
	w.apply()
	w.mustBeSettled()
	for _, endpoint := range w.endpoints() {
		if got := client.must(endpoint, "get", "kept/", "--prefix", "--count-only", "-w", "fields"); !strings.Contains(got, `"Count" : 20`) {
			t.Errorf("%s has not all that was put: %s", endpoint, got)
		}
	}
}

// TestRefusedChanges holds on real hosts what the tests of the resources hold at length: a plan that is refused
// has changed nothing there.
func TestRefusedChanges(t *testing.T) {
	sample.Leave(t, "the tests of the resources hold the same at length")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c", "d", "e")})
	w := newWorkspace(t, l, configuration(t, l, setup{at: on("a", "b", "c")}))
	w.apply()
	before := map[string]string{}
	for _, h := range l.Hosts {
		before[h.Config.Name] = traces(t, h)
	}
	for name, test := range map[string]struct {
		setup setup
		want  string
	}{
		"an even size":     {setup{at: on("a", "b", "c", "d")}, "4 tolerate the loss of 1, as 3 do"},
		"two of three":     {setup{at: on("a", "b@d", "c@e")}, "more members off their hosts than the cluster can spare"},
		"a minor skipped":  {setup{at: on("a", "b", "c"), cluster: `version = "3.5"`}, "3.5"},
		"a version unborn": {setup{at: on("a", "b", "c"), cluster: `version = "3.7.99"`}, "carries no etcd 3.7.99"},
		"another place":    {setup{at: on("a", "b", "c"), cluster: `data_dir = "/srv/etcd"`}, "data_dir cannot be changed"},
	} {
		w.write("main.tf", configuration(t, l, test.setup))
		w.mustFail([]string{"plan", "-no-color"}, test.want)
		for _, h := range l.Hosts {
			if after := traces(t, h); after != before[h.Config.Name] {
				t.Errorf("%s: %s was changed:\n%s\n%s", name, h.Config.Name, before[h.Config.Name], after)
			}
		}
	}
}
