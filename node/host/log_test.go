package host

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestLogOfAMemberThatDoesNotRun holds that what a member has written reads as it said itself, however it
// has ended, and that to read it changes nothing.
func TestLogOfAMemberThatDoesNotRun(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.put(t, 50)
	// etcd agrees on its version up to some seconds after its first start, and writes it to its database with
	// the next commit: a defragmentation is one.
	this, _, _ := minors(t)
	eventually(t, "the cluster's version is agreed on", func() bool { return f.probe(t).ClusterVersion == this+".0" })
	f.client(t, func(c *clientv3.Client) {
		if _, err := c.Defragment(t.Context(), f.clientURL()); err != nil {
			t.Fatal(err)
		}
	})
	said := f.probe(t)
	if o := f.await(t, api.AwaitRequest{}); o.Data.Log != nil || o.Guard != "" {
		t.Errorf("while it runs its log reads %+v, and the guard says %q", o.Data.Log, o.Guard)
	}
	f.units.end(syscall.SIGKILL)
	delete(f.units.active, api.Unit("main"))
	before := tree(t, f.Machine, dataDir)
	o, err := f.Observe(t.Context(), "main", api.ObserveRequest{})
	if err != nil || o.Data.Log == nil {
		t.Fatalf("%v, %+v", err, o.Data)
	}
	if diff := cmp.Diff(before, tree(t, f.Machine, dataDir)); diff != "" {
		t.Errorf("the data has changed:\n%s", diff)
	}
	l := *o.Data.Log
	if l.Version != said.ClusterVersion || l.Version == "" {
		t.Errorf("its database says that the cluster has agreed on %q, and the member said %q", l.Version, said.ClusterVersion)
	}
	if l.Error != "" || l.ClusterID != said.ClusterID || l.MemberID != said.MemberID || l.Term != said.RaftTerm || l.Index < said.RaftIndex || l.Applied == 0 || l.Applied > l.Index || l.Revision != said.Revision || l.Revision < 2 {
		t.Errorf("it reads %+v, and the member said %+v", l, said)
	}

	wal := f.etcd(dataDir).LogFiles()
	good, err := os.ReadFile(f.path(wal[len(wal)-1]))
	if err != nil {
		t.Fatal(err)
	}
	// What a power cut leaves of the last record is the end; a bit that has changed is damage.
	end := len(strings.TrimRight(string(good), "\x00"))
	writeFile(t, f.Machine, wal[len(wal)-1], string(good[:end-3]))
	if cut := f.etcd(dataDir).Log(false); cut.Error != "" || cut.Index != l.Index && cut.Index != l.Index-1 {
		t.Errorf("cut off it reads %+v", cut)
	}
	// A sector of the last record that never reached the disk is the same end.
	torn := []byte(string(good))
	for i := (end - 1) / 512 * 512; i < end; i++ {
		torn[i] = 0
	}
	writeFile(t, f.Machine, wal[len(wal)-1], string(torn))
	if l := f.etcd(dataDir).Log(false); l.Error != "" || l.Index == 0 {
		t.Errorf("with a sector missing it reads %+v", l)
	}
	good[strings.Index(string(good), "key-25")] ^= 1
	writeFile(t, f.Machine, wal[len(wal)-1], string(good))
	if damaged := f.etcd(dataDir).Log(false); damaged.Error == "" || damaged.MemberID != l.MemberID || damaged.Index >= l.Index {
		t.Errorf("damaged it reads %+v", damaged)
	}
}

// TestLogReadsTheSameInEveryState holds that a survivor's log reads the same while it runs without its quorum, after it
// was killed, while it waits for its quorum, and stopped: all that it has logged, agreed on or not.
func TestLogReadsTheSameInEveryState(t *testing.T) {
	t.Parallel()
	f := survivor(t)
	look := func(state string) api.Log {
		t.Helper()
		o, err := f.Observe(t.Context(), "main", api.ObserveRequest{})
		if err != nil || o.Data.Log == nil || o.Data.Log.Error != "" || o.Data.Log.DatabaseError != "" {
			t.Fatalf("%s: %v, %+v", state, err, o.Data)
		}
		if running := state != "killed" && state != "stopped"; running && o.Data.Log.Applied != 0 {
			t.Errorf("%s: its database is open, and reads %d", state, o.Data.Log.Applied)
		}
		return api.Log{ClusterID: o.Data.Log.ClusterID, MemberID: o.Data.Log.MemberID, Term: o.Data.Log.Term, Index: o.Data.Log.Index}
	}
	said := f.probe(t)
	running := look("running")
	// What it answers by its status is what it knows to be agreed on: the tail, which it has logged, is not.
	if running.Index <= said.RaftIndex || running.Term == 0 || running.MemberID != said.MemberID {
		t.Errorf("it has logged %+v, and says %d", running, said.RaftIndex)
	}
	f.units.end(syscall.SIGKILL)
	f.units.active[api.Unit("main")] = "activating" // as systemd has it, which starts it again
	f.units.pid = 0
	if killed := look("killed"); killed != running {
		t.Errorf("killed it reads %+v, and running %+v", killed, running)
	}
	f.start(t)
	f.units.active[api.Unit("main")] = "activating"
	eventually(t, "it has its database open", func() bool {
		_, err := f.etcd(dataDir).ConsistentIndex()
		return err != nil
	})
	if waiting := look("waiting"); waiting != running {
		t.Errorf("waiting for its quorum it reads %+v, and running %+v", waiting, running)
	}
	if err := f.Stop(t.Context(), "main", api.StopRequest{Owner: fleetOwner}); err != nil {
		t.Fatal(err)
	}
	if stopped := look("stopped"); stopped != running {
		t.Errorf("stopped it reads %+v, and running %+v", stopped, running)
	}
}

// TestLogIsReadWhileItIsWritten reads a log again and again under a member that writes as fast as it can: it never
// reads as a damaged one, and never goes back.
func TestLogIsReadWhileItIsWritten(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.client(t, func(c *clientv3.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		written := make(chan int)
		go func() {
			n := 0
			for value := strings.Repeat("x", 10_000); ctx.Err() == nil; n++ {
				if _, err := c.Put(ctx, "key", value); err != nil {
					break
				}
			}
			written <- n
		}()
		var last uint64
		for range 100 {
			l := f.etcd(dataDir).Log(true)
			if l.Error != "" || l.DatabaseError != "" || l.Index < last {
				t.Fatalf("after entry %d it reads %+v", last, l)
			}
			last = l.Index
		}
		cancel()
		if n := <-written; n == 0 {
			t.Error("nothing was written meanwhile")
		}
	})
}
