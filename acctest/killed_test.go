package acctest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestKilledAtEveryStep kills the provider's process as each step of a create begins. Each time nothing
// is in the state, nothing is tainted, and the next apply finishes the cluster, as one.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	w := newWorkspace(t, l, configuration(t, l, setup{cluster: "purge_data = true"}))
	// Authorities and certificates are no part of what is killed.
	w.must("apply", "-auto-approve", "-no-color", "-target=etcd_certificate.client")

	steps := 1
	for step := 1; step <= steps; step += sample.Stride(t, 5) {
		t.Run(strconv.Itoa(step), func(t *testing.T) {
			w.t = t
			total := w.killAtStep(step)
			if step == 1 {
				steps = total
			}
			if attributes, tainted := w.state("etcd_cluster.prod"); attributes != nil || tainted {
				t.Errorf("a create that was killed left a state: %v", attributes)
			}
			w.apply()
			w.mustBeSettled()
			ids := map[string]bool{}
			for _, h := range l.Hosts {
				ids[clusterIDOf(t, h)] = true
			}
			if len(ids) != 1 || !ids[w.clusterID()] {
				t.Errorf("the hosts name the clusters %v and the state %s", ids, w.clusterID())
			}
			client := w.client()
			for _, endpoint := range w.endpoints() {
				client.must(endpoint, "put", "key", "value")
			}
			w.must("destroy", "-auto-approve", "-no-color", "-target=etcd_cluster.prod")
		})
	}
	if steps < 10 {
		t.Errorf("a create of three members has %d steps: its progress was not understood", steps)
	}
}

// TestInterrupted has terraform interrupted, as Ctrl-C does, while a create is at work: it stops between
// two steps and says where, and the next apply goes on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	output, _ := w.duringStep(4, func(cli int) {
		if err := syscall.Kill(cli, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	})
	if flat := flatten(output); !strings.Contains(flat, `stopped before "start a`) {
		t.Errorf("the error does not say where the create stopped:\n%s", output)
	}
	if units := inHost(t, l.Host("a"), "sh", "-c", "systemctl is-active etcd@prod || true"); strings.TrimSpace(units) != "inactive" {
		t.Errorf("a create that was interrupted before it started a member left it %s", units)
	}
	w.apply()
	w.mustBeSettled()
}

// killAtStep applies, kills the provider as soon as it says that a step begins, and returns how many
// steps it said there are.
func (w *workspace) killAtStep(step int) (total int) {
	w.t.Helper()
	_, total = w.duringStep(step, func(cli int) {
		if w.killProvider(cli) == 0 {
			w.t.Fatal("there is no provider to kill")
		}
	})
	return total
}

// duringStep applies, does something to the run as soon as its progress says that a step begins, and
// returns what the run, which has to fail, printed, and how many steps it said there are.
func (w *workspace) duringStep(step int, do func(cli int)) (printed string, total int) {
	w.t.Helper()
	w.write("progress.log", "")
	command, output := w.command("apply", "-auto-approve", "-no-color")
	if err := command.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for total == 0 {
		select {
		case err := <-ended:
			w.t.Fatalf("apply ended before step %d: %v\n%s", step, err, output)
		case <-time.After(look):
			total = stepsBegun(w.read("progress.log"), step)
		}
	}
	do(command.Process.Pid)
	if err := <-ended; err == nil {
		w.t.Fatalf("apply succeeded, and should not have: something was done to it at step %d\n%s", step, output)
	}
	return output.String(), total
}

// look is between two looks at a log for the beginning of a step. Steps take longer, and looks cost the machine what
// the hosts in it need.
const look = 5 * time.Millisecond

// stepsBegun is how many steps there are, once the log holds the line of this one; else 0.
func stepsBegun(log string, step int) int {
	for line := range strings.Lines(log) {
		for field := range strings.FieldsSeq(line) {
			k, n, _ := strings.Cut(field, "/")
			if k != strconv.Itoa(step) {
				continue
			}
			if total, err := strconv.Atoi(n); err == nil {
				return total
			}
		}
	}
	return 0
}

// killProvider kills the providers that a run of the CLI has started, and returns how many those were.
func (w *workspace) killProvider(cli int) (killed int) {
	w.t.Helper()
	for _, pid := range w.providers(cli) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
			killed++
		}
	}
	return killed
}

// providers are the processes of the provider that a run of the CLI has started.
func (w *workspace) providers(cli int) (found []int) {
	w.t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, process := range processes {
		binary, err := os.Readlink(filepath.Join(process, "exe"))
		if err != nil || binary != os.Getenv("ETCD_PROVIDER") {
			continue
		}
		status, err := os.ReadFile(filepath.Join(process, "status"))
		if err != nil || !strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", cli)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil {
			w.t.Fatal(err)
		}
		found = append(found, pid)
	}
	return found
}

// clusterIDOf is the cluster that a host says it belongs to.
func clusterIDOf(t *testing.T, h *lab.Host) string {
	t.Helper()
	marker := inHost(t, h, "cat", "/etc/etcd/prod/cluster.json")
	_, rest, _ := strings.Cut(marker, `"cluster_id":`)
	id, _, _ := strings.Cut(strings.TrimLeft(rest, ` "`), `"`)
	return id
}

// powerOn gives the power back to every host that has none.
func (w *workspace) powerOn() {
	w.t.Helper()
	for _, h := range w.lab.Hosts {
		if !h.On() {
			if err := h.PowerOn(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}
