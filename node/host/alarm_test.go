package host

import (
	"slices"
	"strconv"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// raise has etcd raise an alarm of a member.
func (f *fleetMember) raise(t *testing.T, kind etcdserverpb.AlarmType) {
	t.Helper()
	id, err := strconv.ParseUint(f.id, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	f.client(t, func(c *clientv3.Client) {
		_, err := etcdserverpb.NewMaintenanceClient(c.ActiveConnection()).Alarm(t.Context(), &etcdserverpb.AlarmRequest{Action: etcdserverpb.AlarmRequest_ACTIVATE, MemberID: id, Alarm: kind})
		if err != nil {
			t.Fatal(err)
		}
	})
	eventually(t, "the alarm is raised", func() bool { return len(f.probe(t).Alarms) > 0 })
}

func (f *fleetMember) mustTake(t *testing.T, takes bool) {
	t.Helper()
	f.client(t, func(c *clientv3.Client) {
		if _, err := c.Put(t.Context(), "key", "value"); (err == nil) != takes {
			t.Errorf("a write: %v", err)
		}
	})
}

// TestAlarmOfCorruption holds what a member is like under the alarm that data differs, and that only that one is
// disarmed by who has compared it.
func TestAlarmOfCorruption(t *testing.T) {
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.raise(t, etcdserverpb.AlarmType_CORRUPT)
	f.mustTake(t, false)
	f.await(t, api.AwaitRequest{Members: 1}) // it is ready all the same
	if view := f.probe(t); !view.Ready || !view.Healthy || view.Alarms[0] != "CORRUPT "+f.id {
		t.Errorf("it is seen as %+v", view)
	}
	if err := f.Disarm(t.Context(), "main", api.DisarmRequest{Owner: fleetOwner, Alarms: true}); err != nil || len(f.probe(t).Alarms) != 1 {
		t.Errorf("disarmed for space: %v, %v", err, f.probe(t).Alarms)
	}
	if err := f.Disarm(t.Context(), "main", api.DisarmRequest{Owner: fleetOwner, Corrupt: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the alarm is gone", func() bool { return len(f.probe(t).Alarms) == 0 })
	f.mustTake(t, true)
	f.raise(t, etcdserverpb.AlarmType_NOSPACE)
	if err := f.Disarm(t.Context(), "main", api.DisarmRequest{Owner: fleetOwner, Corrupt: true}); err != nil || len(f.probe(t).Alarms) != 1 {
		t.Errorf("disarmed for corruption: %v, %v", err, f.probe(t).Alarms)
	}
}

// TestRestoreTakesAlarmsOut restores snapshots that carry alarms: the restored member is ready and takes writes.
func TestRestoreTakesAlarmsOut(t *testing.T) {
	t.Parallel()
	for name, kinds := range map[string][]etcdserverpb.AlarmType{
		"CORRUPT": {etcdserverpb.AlarmType_CORRUPT},
		"NOSPACE": {etcdserverpb.AlarmType_NOSPACE},
		"both":    {etcdserverpb.AlarmType_NOSPACE, etcdserverpb.AlarmType_CORRUPT},
	} {
		t.Run(name, func(t *testing.T) {
			members := fleetOf(t, newAuthority(t), "a")
			f := members[0]
			formAll(t, members)
			f.put(t, 10)
			for _, kind := range kinds {
				f.raise(t, kind)
			}
			_, content := f.saved(t)
			snapshot := f.fetched(t, content)
			if err := f.Stop(t.Context(), "main", api.StopRequest{Owner: fleetOwner, Disable: true}); err != nil {
				t.Fatal(err)
			}
			o, err := f.Observe(t.Context(), "main", api.ObserveRequest{})
			if err != nil || o.Unit.FileState != "disabled" || o.Data.Log == nil || o.Data.Log.Corrupt != slices.Contains(kinds, etcdserverpb.AlarmType_CORRUPT) {
				t.Errorf("stopped for good, with %v: unit %+v, log %+v, %v", kinds, o.Unit, o.Data.Log, err)
			}
			if _, err := f.Fence(t.Context(), "main", api.FenceRequest{Owner: fleetOwner, Source: "file:///backup.db", Snapshot: snapshot.SHA256}); err != nil {
				t.Fatal(err)
			}
			request := f.restoreOf(members, snapshot, "restored", 1000)
			if _, err := f.Restore(t.Context(), "main", request); err != nil {
				t.Fatal(err)
			}
			f.marker = request.Marker
			f.configure(t, members, "new")
			f.start(t)
			f.await(t, api.AwaitRequest{Members: 1})
			if alarms := f.probe(t).Alarms; len(alarms) > 0 {
				t.Errorf("alarms %v", alarms)
			}
			f.mustTake(t, true)
		})
	}
}
