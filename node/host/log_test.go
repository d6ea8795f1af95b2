package host

import (
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
	this, _, _ := lines(t)
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
	if l.Error != "" || l.ClusterID != said.ClusterID || l.MemberID != said.MemberID || l.Term != said.RaftTerm || l.Index < said.RaftIndex || l.Applied == 0 || l.Applied > l.Index {
		t.Errorf("it reads %+v, and the member said %+v", l, said)
	}

	wal := f.walFiles(dataDir)
	good, err := os.ReadFile(f.path(wal[len(wal)-1]))
	if err != nil {
		t.Fatal(err)
	}
	// What a power cut leaves of the last record is the end; a bit that has changed is damage.
	end := len(strings.TrimRight(string(good), "\x00"))
	writeFile(t, f.Machine, wal[len(wal)-1], string(good[:end-3]))
	if cut := f.log(dataDir); cut.Error != "" || cut.Index != l.Index && cut.Index != l.Index-1 {
		t.Errorf("cut off it reads %+v", cut)
	}
	good[strings.Index(string(good), "key-25")] ^= 1
	writeFile(t, f.Machine, wal[len(wal)-1], string(good))
	if damaged := f.log(dataDir); damaged.Error == "" || damaged.MemberID != l.MemberID || damaged.Index >= l.Index {
		t.Errorf("damaged it reads %+v", damaged)
	}
}
