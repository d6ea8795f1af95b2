package acctest

import (
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestTwoCreatesAtOnce has two states create the same cluster on the same hosts at the same time. One
// does; the other is told who is at work, or that the cluster is there, and has changed nothing.
func TestTwoCreatesAtOnce(t *testing.T) {
	sample.Leave(t, "TestOneOfTwoCreatesWins is its like in the executor's tests, and TestTwoChangesAtOnce has two runs on booted hosts")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	first := newWorkspace(t, l, configuration(t, l, setup{}))
	second := newWorkspace(t, l, configuration(t, l, setup{}))

	command, output := first.command("apply", "-auto-approve", "-no-color")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	// The lock is held from the first step after the installs on.
	for stepsBegun(first.read("progress.log"), 4) == 0 {
		select {
		case err := <-ended:
			t.Fatalf("the first create ended early: %v\n%s", err, output)
		case <-time.After(look):
		}
	}
	refusal := flatten(second.applyFails())
	if !strings.Contains(refusal, "cluster prod is locked by") && !strings.Contains(refusal, "finished cluster prod") {
		t.Errorf("the second create was refused with %s", refusal)
	}
	if log := second.read("progress.log"); log != "" {
		t.Errorf("the second create did something:\n%s", log)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the first create failed: %v\n%s", err, output)
	}
	first.mustBeSettled()
	first.client().must(first.endpoints()[0], "put", "key", "value")
}
