package acctest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// savedMegabytes is how much data is saved and restored.
const savedMegabytes = 2000

// BenchmarkSnapshotAndRestore saves a cluster with 2 GB of data into a file, backs it up to a directory of a host, and
// restores the file over the running cluster, with terraform apply, each beside its floor: to save it with etcdctl and
// read it, to copy it on a host and read it, and to copy it to all hosts at once and have etcdutl restore it there.
// That is what "made" took of the restore, until all hosts had their new data; the rest is what no floor has: members
// are stopped and started, compared three times, and a snapshot is taken.
func BenchmarkSnapshotAndRestore(b *testing.B) {
	l := up(b, lab.Config{Hosts: members("a", "b", "c")})
	const cluster = `
  settings = { quota_backend_bytes = 8589934592 }
`
	const backedUp = cluster + `
  backup = {
    schedule  = "yearly"
    directory = "/srv/backups"
    keep      = { last = 1, verified = 0 }
    rehearsal = { schedule = "yearly" }
  }
`
	w := newWorkspace(b, l, configuration(b, l, setup{cluster: cluster}))
	w.apply()
	client, file := w.client(), func(name string) string { return filepath.Join(w.dir, name) }
	w.fillWith(savedMegabytes)
	measure := watchMemory(b)
	took := map[string]time.Duration{}
	timed := func(name string, do func()) {
		began := time.Now()
		do()
		took[name] += time.Since(began)
	}
	for slot := 0; b.Loop(); slot++ {
		name := fmt.Sprintf("saved-%d.db", slot)
		timed("save-floor", func() {
			client.must(endpointOf(l.Host("a")), "--command-timeout=10m", "snapshot", "save", file("by-hand-"+name))
			readByHand(b, file("by-hand-"+name))
		})
		// What a floor leaves takes memory that what comes next is to have.
		if err := os.Remove(file("by-hand-" + name)); err != nil {
			b.Fatal(err)
		}
		w.write("main.tf", configuration(b, l, setup{cluster: cluster})+strings.Replace(snapshotOf, "prod.db", name, 1))
		timed("save", func() { w.apply() })

		w.write("main.tf", configuration(b, l, setup{cluster: backedUp}))
		w.apply()
		timed("backup", func() { backUpNow(b, l.Host("a")) })
		timed("backup-floor", func() {
			inHost(b, l.Host("a"), "sh", "-c", "cp /var/lib/etcd/prod/member/snap/db /srv/copy && sync /srv/copy && sha256sum /srv/copy && rm /srv/copy")
		})

		timed("restore-floor", func() { restoreByHand(b, l, file(name)) })
		for _, h := range l.Hosts {
			inHost(b, h, "rm", "-rf", "/srv/by-hand")
		}
		w.write("main.tf", configuration(b, l, setup{cluster: cluster + fmt.Sprintf("restore = {\n file = %q\n overwrite_cluster_id = %q\n}\n", name, w.clusterID())}))
		timed("restore", func() { w.apply() })
		took["made"] += between(b, w.read("progress.log"), " fetch ", " configure ")
		b.Log(took)
		for _, h := range l.Hosts {
			inHost(b, h, "sh", "-c", "rm -rf /var/lib/etcd/prod.aside-*")
		}
	}
	provider, store := measure()
	for _, what := range []string{"save", "backup", "restore"} {
		b.ReportMetric(took[what].Seconds()/float64(b.N), what+"-s")
		b.ReportMetric(took[what+"-floor"].Seconds()/float64(b.N), what+"-floor-s")
		b.ReportMetric(took[what].Seconds()/took[what+"-floor"].Seconds(), what+"/floor")
	}
	b.ReportMetric(took["made"].Seconds()/float64(b.N), "made-s")
	b.ReportMetric(took["made"].Seconds()/took["restore-floor"].Seconds(), "made/restore-floor")
	b.ReportMetric(float64(provider)/1e6, "provider-MB")
	b.ReportMetric(float64(store)/1e6, "store-MB")
	b.ReportMetric(0, "ns/op")
}

// readByHand reads a snapshot as its verification does: its sum, and its keys.
func readByHand(b *testing.B, file string) {
	b.Helper()
	for _, command := range []*exec.Cmd{exec.Command("sha256sum", file), exec.Command(etcdutl(b), "snapshot", "status", file)} {
		if output, err := command.CombinedOutput(); err != nil {
			b.Fatalf("%s: %v\n%s", command, err, output)
		}
	}
}

// between is the time from the first step of one kind to the first of another after it, in the last run that a log of
// progress tells of, in whole seconds.
func between(b *testing.B, log, from, to string) time.Duration {
	b.Helper()
	var began, ended time.Time
	for line := range strings.Lines(log) {
		at, err := time.Parse(time.RFC3339, strings.Fields(line)[0])
		if err != nil {
			b.Fatal(err)
		}
		if strings.Contains(line, " 1/") {
			began, ended = time.Time{}, time.Time{}
		}
		if began.IsZero() && strings.Contains(line, from) {
			began = at
		}
		if ended.IsZero() && !began.IsZero() && strings.Contains(line, to) {
			ended = at
		}
	}
	if ended.IsZero() {
		b.Fatalf("no %q and then %q:\n%s", from, to, log)
	}
	return ended.Sub(began)
}

// restoreByHand copies a snapshot to all hosts at once, and has etcdutl restore it there.
func restoreByHand(b *testing.B, l *lab.Lab, file string) {
	b.Helper()
	var group sync.WaitGroup
	for _, h := range l.Hosts {
		group.Go(func() {
			script := fmt.Sprintf("ssh -i %s -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR root@%s "+
				"'rm -rf /srv/by-hand; cat >/srv/by-hand.db && etcdutl snapshot restore /srv/by-hand.db --data-dir /srv/by-hand --bump-revision 1000 --mark-compacted >/dev/null 2>&1 && sync -f /srv/by-hand && rm /srv/by-hand.db' <%s", l.KeyFile(), h.Address(), file)
			if output, err := l.Command(b.Context(), "sh", "-c", script).CombinedOutput(); err != nil {
				b.Errorf("%s: %v\n%s", h.Config.Name, err, output)
			}
		})
	}
	group.Wait()
}

// watchMemory samples how much memory of their own providers and stores take, until it is asked for the most that one
// of each has taken, in bytes. Members are not counted.
func watchMemory(b *testing.B) (most func() (provider, store int64)) {
	b.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	var provider, store int64
	binary := filepath.Base(os.Getenv("ETCD_PROVIDER"))
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
			}
			processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, process := range processes {
				line, err := os.ReadFile(process)
				if err != nil {
					continue // it has ended
				}
				args := strings.Split(string(line), "\x00")
				switch {
				case filepath.Base(args[0]) == binary:
					provider = max(provider, anonymous(filepath.Dir(process)))
				case filepath.Base(args[0]) == "store" && len(args) > 1 && (args[1] == "call" || args[1] == "backup" || args[1] == "rehearse"):
					store = max(store, anonymous(filepath.Dir(process)))
				}
			}
		}
	}()
	return func() (int64, int64) {
		close(done)
		<-ended
		return provider, store
	}
}

// anonymous is a process's memory that is no file's, in bytes; 0 where it has ended.
func anonymous(process string) int64 {
	status, err := os.ReadFile(filepath.Join(process, "status"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kilobytes, _ := strconv.ParseInt(number, 10, 64)
	return kilobytes * 1024
}
