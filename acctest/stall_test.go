package acctest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestStalledMembersAreNotDown stops the processes of two of three members for a while, as slow disks do, while an
// apply rolls out a changed setting. Whatever the apply makes of it, nobody is stopped, configured or restarted while
// the quorum does not serve; once the members go on, the next apply rolls the setting out.
func TestStalledMembersAreNotDown(t *testing.T) {
	sample.Leave(t, "the executor's and planner's tests have members stall at every step, on the fake")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	w.apply()
	ctl, endpoints := w.client(), w.endpoints()
	const writes = 20
	for n := range writes {
		ctl.must(endpoints[n%3], "put", fmt.Sprintf("write/%d", n), "acknowledged")
	}
	signal := func(signal string, names ...string) {
		t.Helper()
		for _, name := range names {
			inHost(t, l.Host(name), "systemctl", "kill", "--signal="+signal, "etcd@prod")
		}
	}
	processes := func() (all []string) {
		for _, h := range l.Hosts {
			all = append(all, strings.TrimSpace(inHost(t, h, "systemctl", "show", "-P", "MainPID,NRestarts", "etcd@prod")))
		}
		return all
	}
	before := processes()
	for i, stall := range []time.Duration{5 * time.Second, 15 * time.Second, 45 * time.Second} {
		t.Logf("a stall of %s", stall)
		w.write("main.tf", configuration(t, l, setup{cluster: fmt.Sprintf("settings = { snapshot_count = %d }", 20000+i)}))
		stalled := [][]string{{"a", "b"}, {"b", "c"}, {"c", "a"}}[i]
		signal("STOP", stalled...)
		command, output := w.command("apply", "-auto-approve", "-no-color")
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- command.Wait() }()
		var result error
		over := false
		select {
		case result = <-ended:
			over = true
		case <-time.After(stall):
		}
		if now := processes(); fmt.Sprint(now) != fmt.Sprint(before) {
			t.Errorf("while two of three stalled, a member's process changed from %v to %v", before, now)
		}
		signal("CONT", stalled...)
		if !over {
			result = <-ended
		}
		t.Logf("the apply: %v\n%s", result, output)
		ctl.await(endpoints, "get", "x")
		w.apply()
		w.mustBeSettled()
		for _, h := range l.Hosts {
			if flags := inHost(t, h, "cat", "/etc/etcd/prod/flags"); !strings.Contains(flags, fmt.Sprintf("--snapshot-count=%d", 20000+i)) {
				t.Errorf("the flags of %s are\n%s", h.Config.Name, flags)
			}
		}
		before = processes()
	}
	for _, endpoint := range endpoints {
		if keys := ctl.must(endpoint, "get", "--prefix", "write/", "--keys-only"); strings.Count(keys, "write/") != writes {
			t.Errorf("%s has\n%s", endpoint, keys)
		}
	}
}
