package host

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// TestGuardKnowsAMembersData holds that the guard lets a member start on its own data however it has ended,
// and never on older data of its own, on that of another, or on that of a cluster that it does not join.
func TestGuardKnowsAMembersData(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	f, other := fleetOf(t, ca, "a")[0], fleetOf(t, ca, "b")[0]
	view := f.probe(t)
	f.formed(t, view)
	passes := func(when string) {
		t.Helper()
		if err := f.Guard("main"); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	refuses := func(when string, check api.GuardCheck, says string) {
		t.Helper()
		o, err := f.Observe(t.Context(), "main", api.ObserveRequest{})
		if err != nil || o.GuardCheck != check || !strings.Contains(o.Guard, says) {
			t.Errorf("%s: %v, %s: %s", when, err, o.GuardCheck, o.Guard)
		}
		if f.Guard("main") == nil {
			t.Errorf("%s: it may start", when)
		}
	}
	down := func() {
		t.Helper()
		if err := f.Stop(t.Context(), "main", api.StopRequest{Owner: fleetOwner}); err != nil {
			t.Fatal(err)
		}
	}
	passes("while it runs")
	down()
	passes("stopped")
	mustHave(t, f.Machine, api.ProgressFile("main"), files.Owner{UID: 0, GID: etcdOwner.GID}, 0o640)
	first, err := f.records().Progress("main")
	if err != nil || first.Index == 0 || first.MemberID != view.MemberID || first.ClusterID != view.ClusterID {
		t.Errorf("recorded is %+v, %v", first, err)
	}
	if err := os.CopyFS(f.path("/backup"), os.DirFS(f.path(dataDir))); err != nil {
		t.Fatal(err)
	}

	f.start(t)
	f.await(t, api.AwaitRequest{Members: 1})
	f.put(t, 20)
	f.units.end(syscall.SIGKILL) // nothing is recorded, and what was not committed is gone
	passes("killed")
	f.start(t)
	f.await(t, api.AwaitRequest{Members: 1})
	down()
	second, err := f.records().Progress("main")
	if err != nil || second.Index <= first.Index {
		t.Errorf("recorded is %+v after %+v, %v", second, first, err)
	}

	swap := func(from string) {
		t.Helper()
		if err := os.RemoveAll(f.path(dataDir + "/member")); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(f.path(dataDir), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	swap(f.path("/backup"))
	refuses("an old copy", api.GuardProgress, "it was rolled back")
	if err := f.Record(t.Context(), "main"); err != nil {
		t.Fatal(err)
	}
	refuses("an old copy, looked at twice", api.GuardProgress, "it was rolled back")
	if err := os.Remove(f.path(etcdfs.Database(dataDir))); err != nil {
		t.Fatal(err)
	}
	refuses("without its database", api.GuardProgress, "up to entry 0")

	other.units.end(syscall.SIGKILL)
	swap(other.path(dataDir))
	refuses("another member's data", api.GuardIdentity, "recorded member "+view.MemberID)
	for phase, check := range map[api.Phase]api.GuardCheck{api.PhaseForming: "", api.PhaseJoining: api.GuardIdentity} {
		marker, err := f.Machine.records().Marker("main")
		if err != nil {
			t.Fatal(err)
		}
		marker.Phase, marker.MemberID = phase, ""
		if got, err := f.guard(*marker, f.config.Flags); got != check {
			t.Errorf("in phase %s the guard says %s: %v", phase, got, err)
		}
		marker.ClusterID = other.probedCluster(t)
		if got, err := f.guard(*marker, f.config.Flags); got != "" {
			t.Errorf("in phase %s, of that cluster, the guard says %s: %v", phase, got, err)
		}
	}
}

// probedCluster is the cluster ID in the member's log.
func (f *fleetMember) probedCluster(t *testing.T) string {
	t.Helper()
	cluster, _, err := f.etcd(dataDir).Identity()
	if err != nil {
		t.Fatal(err)
	}
	return api.FormatID(cluster)
}
