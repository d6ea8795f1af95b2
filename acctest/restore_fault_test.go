package acctest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestRestoreKilledAtEveryStep kills the provider as steps of a restore begin, and cuts the power of hosts that steps
// are done to: the next apply finishes it. Once it is rolled back instead.
func TestRestoreKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	v := savedCluster(t, l, setup{})
	hit := func(step int, cut bool) (ended bool) {
		v.id, v.seen = v.clusterID(), v.revisionNow()
		v.restoring(nil, fmt.Sprintf("triggers = { at = \"%d %t\" }", step, cut))
		ended = v.disturb(step, cut)
		v.powerOn()
		v.mustComeToItsEnd()
		v.mustBeRestored()
		v.fill("later", 1)
		if t.Failed() {
			t.Fatalf("at step %d", step)
		}
		return ended
	}
	if !everyStep() {
		for step, ended := 2, false; !ended; step += stride(9) {
			ended = hit(step, step%2 == 1 || testing.Short())
		}
		return
	}
	for _, cut := range []bool{true, false} {
		for step, ended := 1, false; !ended; step++ {
			ended = hit(step, cut)
		}
	}
}

// disturb applies, and as a step begins it cuts the power of the host that the step is done to, or kills the provider,
// as it does where a step is done to no host alone. true: there are fewer steps.
func (v *saved) disturb(step int, cut bool) bool {
	v.t.Helper()
	v.write("progress.log", "")
	command, output := v.command("apply", "-auto-approve", "-no-color")
	if err := command.Start(); err != nil {
		v.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for stepsBegun(v.read("progress.log"), step) == 0 {
		select {
		case err := <-ended:
			if err != nil {
				v.t.Fatalf("apply failed by itself before step %d: %v\n%s", step, err, output)
			}
			return true
		case <-time.After(look):
		}
	}
	begun := v.begun(step)
	v.t.Logf("step %d: %s", step, begun)
	off := false
	for _, h := range v.lab.Hosts {
		if cut && strings.Contains(begun, "("+h.Address()+")") {
			if err := h.PowerOff(); err != nil {
				v.t.Fatal(err)
			}
			off = true
		}
	}
	if !off {
		v.killProvider(command.Process.Pid)
	}
	<-ended // it may go well all the same
	return false
}

// begun is what the progress log says of a step.
func (v *saved) begun(step int) string {
	for line := range strings.Lines(v.read("progress.log")) {
		if stepsBegun(line, step) > 0 {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// mustComeToItsEnd applies until that succeeds: a call that a killed run has left behind may still be at work, and a
// host that has just booted is planned for anew.
func (v *saved) mustComeToItsEnd() {
	v.t.Helper()
	for try := 1; ; try++ {
		output, code := v.workspace.run("apply", "-auto-approve", "-no-color")
		switch {
		case code == 0:
			return
		case try == 3:
			v.t.Fatalf("the third apply has failed: %s", output)
		}
		v.t.Logf("apply %d: %s", try, flatten(output))
		time.Sleep(3 * time.Second)
	}
}

// TestRestoreIsRolledBack has a restore cut short once its members run, and rolls it back: every key that was written
// since the snapshot is there, in the cluster that there was.
func TestRestoreIsRolledBack(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	v := savedCluster(t, l, setup{})
	v.restoring(nil, "")
	steps, agree := v.planned(), 0
	for i, step := range steps {
		if strings.HasPrefix(step, "agree") {
			agree = i + 1
			break
		}
	}
	v.duringStep(agree, func(cli int) { v.killProvider(cli) })
	v.write("main.tf", configuration(t, l, v.setup))
	v.mustFail([]string{"plan", "-no-color"}, "a restore of file prod.db", "is under way", "restore.roll_back = true")
	v.restoring(nil, "roll_back = true")
	v.apply()
	v.mustRollOut("roll back a", "start a")
	if v.clusterID() != v.id {
		t.Errorf("it is cluster %s, and was %s", v.clusterID(), v.id)
	}
	c := v.client()
	for _, endpoint := range v.endpoints() {
		if n := v.count(c, endpoint, "later/"); n != later {
			t.Errorf("%s has %d of the %d keys that were written since", endpoint, n, later)
		}
	}
	v.mustBeSettled()
	v.write("main.tf", configuration(t, l, v.setup))
	v.apply()
	v.mustBeSettled()
}

// planned are the steps of a plan of what is configured now.
func (v *saved) planned() []string {
	v.t.Helper()
	v.must("plan", "-no-color", "-out=saved.plan")
	return v.rolloutOf("saved.plan")
}
