package nodetest_test

import (
	"slices"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
)

// TestDriftIsSeen changes hosts without the provider, and looks at what they report.
func TestDriftIsSeen(t *testing.T) {
	others, err := signing.NewAuthority(nodetest.Start)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		happen func(*driver, *nodetest.Host)
		seen   func(before, after api.Observation) bool
	}{
		"disabled": {func(_ *driver, h *nodetest.Host) { h.DisableUnit("prod") },
			func(_, after api.Observation) bool {
				return after.Unit.FileState == "disabled" && after.Unit.ActiveState == "active"
			}},
		"unit": {func(_ *driver, h *nodetest.Host) { h.EditUnit("prod", "[Unit]\n#") },
			func(before, after api.Observation) bool {
				return after.Unit.Text == "[Unit]\n#" && after.Unit.Process.UnitSHA256 == before.Unit.Process.UnitSHA256
			}},
		"flags": {func(_ *driver, h *nodetest.Host) {
			h.EditFlags("prod", func(lines []string) []string { return append(lines, "--debug=1") })
		}, func(before, after api.Observation) bool {
			return len(after.Flags) == len(before.Flags)+1 && slices.Equal(after.Unit.Process.Flags, before.Unit.Process.Flags)
		}},
		"flags, restarted": {func(_ *driver, h *nodetest.Host) {
			h.EditFlags("prod", func(lines []string) []string { return append(lines, "--debug=1") })
			h.RestartUnit("prod")
		}, func(_, after api.Observation) bool { return slices.Equal(after.Unit.Process.Flags, after.Flags) }},
		"binary": {func(d *driver, h *nodetest.Host) { h.SwapBinary("prod", d.world.AddStores("3.7.2")["amd64"]) },
			func(before, after api.Observation) bool {
				return after.Store.Selected != before.Store.Selected && after.Unit.Process.Store == before.Store.Selected && after.Member.Version == "3.7.3"
			}},
		"expired": {func(d *driver, h *nodetest.Host) { h.ExpireCertificates("prod", d.authority) },
			func(before, after api.Observation) bool {
				return after.Certificates["peer"].HasKey && after.Certificates["peer"].PEM != before.Certificates["peer"].PEM
			}},
		"foreign certificates": {func(_ *driver, h *nodetest.Host) { h.ForeignCertificates("prod", others) },
			func(before, after api.Observation) bool {
				return after.Certificates["server"].HasKey && after.Certificates["server"].PEM != before.Certificates["server"].PEM
			}},
		"a key that others can read": {func(_ *driver, h *nodetest.Host) { h.OpenKey("prod", api.KeyPeer) },
			func(_, after api.Observation) bool {
				return after.Certificates[api.KeyPeer].Exposed && !after.Certificates[api.KeyServer].Exposed
			}},
		"foreign data": {func(_ *driver, h *nodetest.Host) { h.ForeignData("prod") },
			func(before, after api.Observation) bool {
				return after.GuardCheck == api.GuardIdentity && after.Data.Log.ClusterID != before.Member.ClusterID
			}},
		"rolled back": {func(_ *driver, h *nodetest.Host) { h.RollBack("prod", 2) },
			func(before, after api.Observation) bool {
				return after.GuardCheck == api.GuardProgress && after.Data.Log.Index == before.Member.RaftIndex-2
			}},
		"unmounted": {func(_ *driver, h *nodetest.Host) { h.Unmount("prod") },
			func(_, after api.Observation) bool {
				return after.GuardCheck == api.GuardMount && after.Data.Empty
			}},
		"mounted again": {func(_ *driver, h *nodetest.Host) { h.Unmount("prod"); h.Mount("prod") },
			func(_, after api.Observation) bool { return after.Guard == "" && after.Data.HasMember }},
		"stopped": {func(_ *driver, h *nodetest.Host) { h.StopUnit("prod") },
			func(before, after api.Observation) bool {
				log := after.Data.Log
				return after.Guard == "" && log.Index == before.Member.RaftIndex && log.Term == before.Member.RaftTerm && log.MemberID == before.Member.MemberID
			}},
		"lost data": {func(d *driver, h *nodetest.Host) { h.LoseData(dataDir); d.world.Tick() },
			func(_, after api.Observation) bool {
				return after.GuardCheck == api.GuardData && after.Unit.ActiveState == "failed"
			}},
		"damaged": {func(d *driver, h *nodetest.Host) {
			h.DamageData("prod")
			for range 3 {
				d.world.Tick()
			}
		}, func(_, after api.Observation) bool {
			return after.Data.Damage != "" && after.Unit.SubState == "auto-restart" && after.Guard == ""
		}},
		"damaged, a moment ago": {func(_ *driver, h *nodetest.Host) { h.DamageData("prod") },
			func(_, after api.Observation) bool { return after.Data.Damage == "" && after.Data.HasMember }},
		"unmanaged": {func(d *driver, _ *nodetest.Host) {
			d.world.AddUnmanaged("prod", "https://198.51.100.7:2380", true)
		}, func(_, after api.Observation) bool {
			return slices.ContainsFunc(after.Member.Members, func(m api.ListedMember) bool { return m.Name == "" && m.Learner })
		}},
		"corrupt": {func(_ *driver, h *nodetest.Host) { h.RaiseAlarm("prod", "CORRUPT") },
			func(_, after api.Observation) bool {
				return slices.Equal(after.Member.Alarms, []string{"CORRUPT " + after.Member.MemberID})
			}},
	} {
		t.Run(name, func(t *testing.T) {
			d := serving(t, t, 3, 3)
			leader, other := d.leader(3)
			i := 3 - leader - other
			before := d.observe(i)
			if before.Guard != "" || before.Unit.Process == nil || before.Data.Log != nil {
				t.Fatalf("before: guard %q, process %+v, log %+v", before.Guard, before.Unit.Process, before.Data.Log)
			}
			test.happen(d, d.world.Host(d.addresses[i]))
			d.world.Tick()
			if after := d.observe(i); !test.seen(before, after) {
				t.Errorf("it is not seen: %+v", after)
			}
		})
	}
}

// TestCorruption: corrupt data shows in hashes alone.
func TestCorruption(t *testing.T) {
	d := serving(t, t, 3, 3)
	d.world.Host(d.addresses[0]).Write("prod")
	var revision int64
	hashes := map[uint32]int{}
	hash := func(i int) {
		var h api.Hash
		d.ask(i, api.OpHash, api.HashRequest{Revision: revision}, &h)
		hashes[h.Hash]++
		revision = h.HashRevision
	}
	hash(0)
	d.world.Host(d.addresses[0]).Write("prod")
	d.world.Host(d.addresses[2]).Corrupt("prod")
	hash(1)
	hash(2)
	if len(hashes) != 2 {
		t.Errorf("hashes at revision %d: %v", revision, hashes)
	}
	d.refused(0, api.OpHash, api.HashRequest{Revision: 99}, "future revision")
}

// TestNoSpace fills a member's database to its quota.
func TestNoSpace(t *testing.T) {
	d := serving(t, t, 3, 3)
	h := d.world.Host(d.addresses[1])
	h.RaiseAlarm("prod", "NOSPACE")
	if err := d.world.Put("prod"); err == nil {
		t.Error("a write was taken")
	}
	m := d.observe(1).Member
	if m.DBSizeBytes < m.QuotaBytes || m.DBUsedBytes >= m.QuotaBytes {
		t.Errorf("sizes %d, %d, %d", m.DBSizeBytes, m.DBUsedBytes, m.QuotaBytes)
	}
	h.FillDatabase("prod", m.QuotaBytes)
	d.refused(1, api.OpDisarm, api.DisarmRequest{Owner: "us", Alarms: true}, "raise the quota")
	h.FillDatabase("prod", 0)
	d.ask(1, api.OpDisarm, api.DisarmRequest{Owner: "us", Alarms: true}, nil)
	if err := d.world.Put("prod"); err != nil || len(d.observe(0).Member.Alarms) > 0 {
		t.Errorf("disarmed: %v", err)
	}
}

// TestSnapshots keeps some snapshots, and removes the oldest.
func TestSnapshots(t *testing.T) {
	d := serving(t, t, 4, 3)
	var saved api.Snapshot
	for range 3 {
		d.ask(0, api.OpSnapshot, api.SnapshotRequest{Owner: "us", Keep: 2}, &saved)
	}
	if kept := d.world.Host(d.addresses[0]).Snapshots(dataDir); len(kept) != 2 || kept[1] != saved.Path || saved.Version != "3.7.0" {
		t.Errorf("kept %v, the last is %+v", kept, saved)
	}
	d.ask(0, api.OpAddLearner, api.AddLearnerRequest{Owner: "us", PeerURL: d.peerURL(3), Timeout: time.Second}, nil)
	d.join(3, 0, 1, 2, 3)
	d.start(3)
	d.refused(3, api.OpSnapshot, api.SnapshotRequest{Owner: "us", Keep: 2}, "learner")
	d.world.Host(d.addresses[3]).StopUnit("prod")
	d.refused(3, api.OpSnapshot, api.SnapshotRequest{Owner: "us", Keep: 2}, "connection refused")
}
