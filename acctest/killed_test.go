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
)

// TestKilledAtEveryStep kills the provider's process as each step of a create begins. Each time nothing
// is in the state, nothing is tainted, and the next apply finishes the cluster, as one.
func TestKilledAtEveryStep(t *testing.T) {
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	w := newWorkspace(t, l, configuration(t, l, setup{cluster: "purge_data = true"}))
	// Authorities and certificates are no part of what is killed.
	w.must("apply", "-auto-approve", "-no-color", "-target=etcd_certificate.client")

	steps := 1
	for step := 1; step <= steps; step++ {
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

// killAtStep applies, kills the provider as soon as it says that a step begins, and returns how many
// steps it said there are.
func (w *workspace) killAtStep(step int) (total int) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "progress.log"), nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
	command, output := w.command("apply", "-auto-approve", "-no-color")
	if err := command.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for {
		if total = stepsBegun(w.read("progress.log"), step); total > 0 {
			break
		}
		select {
		case err := <-ended:
			w.t.Fatalf("apply ended before step %d: %v\n%s", step, err, output)
		case <-time.After(time.Millisecond):
		}
	}
	if w.killProvider(command.Process.Pid) == 0 {
		w.t.Fatalf("there is no provider to kill\n%s", output)
	}
	if err := <-ended; err == nil {
		w.t.Fatalf("apply succeeded with its provider killed at step %d\n%s", step, output)
	}
	return total
}

// stepsBegun is how many steps there are, once the log holds the line of this one; else 0.
func stepsBegun(log string, step int) int {
	for line := range strings.Lines(log) {
		for field := range strings.FieldsSeq(line) {
			var k, n int
			if read, _ := fmt.Sscanf(field, "%d/%d", &k, &n); read == 2 && k == step {
				return n
			}
		}
	}
	return 0
}

// killProvider kills the providers that a run of the CLI has started, and returns how many those were.
func (w *workspace) killProvider(cli int) (killed int) {
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
		if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
			killed++
		}
	}
	return killed
}

// clusterIDOf is the cluster that a host says it belongs to.
func clusterIDOf(t *testing.T, h *lab.Host) string {
	t.Helper()
	marker := inHost(t, h, "cat", "/etc/etcd/prod/cluster.json")
	_, rest, _ := strings.Cut(marker, `"cluster_id":`)
	id, _, _ := strings.Cut(strings.TrimLeft(rest, ` "`), `"`)
	return id
}
