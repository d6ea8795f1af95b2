package acctest

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// BenchmarkRoll rolls a setting over three members: with terraform apply, and by the floor, which is three
// restarts by hand, with the leadership moved before its holder is restarted.
func BenchmarkRoll(b *testing.B) {
	l := up(b, lab.Config{Hosts: members("a", "b", "c")})
	w := newWorkspace(b, l, configuration(b, l, setup{}))
	w.apply()
	client := w.client()
	var applied, floored time.Duration
	slots, slot := []setup{{cluster: `settings = { snapshot_count = 5000 }`}, {}}, 0
	for b.Loop() {
		started := time.Now()
		restartByHand(b, client)
		floored += time.Since(started)
		w.write("main.tf", configuration(b, l, slots[slot%2]))
		slot++
		started = time.Now()
		w.apply()
		applied += time.Since(started)
	}
	beside(b, applied, floored)
}

// restartByHand restarts each member, the leader last and without its leadership.
func restartByHand(b *testing.B, client etcdctl) {
	b.Helper()
	hosts, leader := client.lab.Hosts, -1
	var ids []string
	for i, h := range hosts {
		id, leads := memberOf(b, client, h)
		ids = append(ids, fmt.Sprintf("%x", id))
		if id == leads {
			leader = i
		}
	}
	if leader < 0 {
		b.Fatal("no member leads")
	}
	for i, h := range hosts {
		if i != leader {
			inHost(b, h, "systemctl", "restart", "etcd@prod") // which waits until it is ready
		}
	}
	client.must(endpointOf(hosts[leader]), "move-leader", ids[(leader+1)%len(ids)])
	inHost(b, hosts[leader], "systemctl", "restart", "etcd@prod")
}

func endpointOf(h *lab.Host) string { return "https://" + h.Address() + ":2379" }

// memberOf are the IDs of a host's member and of the one that it follows.
func memberOf(b *testing.B, client etcdctl, h *lab.Host) (id, leader uint64) {
	b.Helper()
	var status []struct {
		Status struct {
			Header struct {
				MemberID uint64 `json:"member_id"`
			} `json:"header"`
			Leader uint64 `json:"leader"`
		}
	}
	if err := json.Unmarshal([]byte(client.must(endpointOf(h), "endpoint", "status", "-w", "json")), &status); err != nil || len(status) != 1 {
		b.Fatalf("the status of %s cannot be read: %v", h.Config.Name, err)
	}
	return status[0].Status.Header.MemberID, status[0].Status.Leader
}

// replacedMegabytes is how much data a member is replaced with.
const replacedMegabytes = 500

// BenchmarkReplace replaces a healthy member of a cluster with 500 MB of data: with terraform apply, and by the
// floor, which is to copy the data over the network once and to start a member on as much.
func BenchmarkReplace(b *testing.B) {
	l := up(b, lab.Config{Hosts: members("a", "b", "c", "d")})
	w := newWorkspace(b, l, configuration(b, l, setup{at: on("a", "b", "c")}))
	w.apply()
	client := w.client()
	w.fillWith(replacedMegabytes)
	var applied, floored time.Duration
	slots, slot := []setup{{at: on("a", "b", "c@d")}, {at: on("a", "b", "c")}}, 0
	for b.Loop() {
		started := time.Now()
		client.must(endpointOf(l.Host("a")), "--command-timeout=5m", "snapshot", "save", filepath.Join(w.dir, fmt.Sprintf("copy-%d.db", slot)))
		inHost(b, l.Host("b"), "systemctl", "restart", "etcd@prod")
		floored += time.Since(started)
		w.write("main.tf", configuration(b, l, slots[slot%2]))
		slot++
		started = time.Now()
		w.apply()
		applied += time.Since(started)
	}
	beside(b, applied, floored)
}

// beside reports what an apply took beside its floor.
func beside(b *testing.B, applied, floored time.Duration) {
	b.ReportMetric(applied.Seconds()/float64(b.N), "apply-s")
	b.ReportMetric(floored.Seconds()/float64(b.N), "floor-s")
	b.ReportMetric(applied.Seconds()/floored.Seconds(), "apply/floor")
	b.ReportMetric(0, "ns/op")
}
