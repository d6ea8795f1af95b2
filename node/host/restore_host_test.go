package host

import (
	"os"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// donor returns a bare machine with a fetched snapshot, to restore it there.
func donor(t *testing.T) (*fleetMember, api.Snapshot, []byte) {
	t.Helper()
	f, _, content := aSnapshot(t)
	m, units := newMachine(t)
	bare := &fleetMember{Machine: m, units: &liveUnits{fakeUnits: units, t: t}, marker: f.marker}
	return bare, bare.fetched(t, content), content
}

// TestRestoreOnABareHost restores where there was nothing, which wants no fence, and takes all of it back.
func TestRestoreOnABareHost(t *testing.T) {
	t.Parallel()
	f, s, content := donor(t)
	empty := leftovers(t, f.Machine)
	_, err := f.Fence(t.Context(), "main", api.FenceRequest{Owner: fleetOwner, Source: "s", Snapshot: s.SHA256})
	mustRefuse(t, err, "carries no cluster")
	request := f.restoreOf([]*fleetMember{f}, s, "token-2", 10)
	for n := 0; cutAt(t, f.Machine, n, func() error { _, err := f.Restore(t.Context(), "main", request); return err }); n++ {
	}
	made, err := f.Restore(t.Context(), "main", request)
	if err != nil || made.Aside != "" || made.ClusterID == "" {
		t.Fatalf("made is %+v, %v", made, err)
	}
	mustHave(t, f.Machine, api.RestoreFile("main"), files.Owner{UID: 0, GID: etcdOwner.GID}, 0o640)

	// It can be prepared and configured as always, and keeps what it was restored as.
	r := prepareOf("main")
	r.Marker = request.Marker
	c := configured(t, f.Machine, r)
	marker, err := f.Machine.records().Marker("main")
	if err != nil || marker.ClusterID != made.ClusterID || marker.MemberID != made.MemberID || marker.Token != "token-2" {
		t.Errorf("configured its marker reads %+v, %v", marker, err)
	}
	if check, err := f.guard(*marker, c.Flags); err != nil {
		t.Errorf("the guard says %s: %v", check, err)
	}
	// Its data is what the others have, and it never starts without, in whatever phase.
	if err := os.Rename(f.path(dataDir+"/member"), f.path("/member")); err != nil {
		t.Fatal(err)
	}
	if check, err := f.guard(*marker, c.Flags); err == nil || check != api.GuardRestore {
		t.Errorf("without its data the guard says %s: %v", check, err)
	}
	_, err = f.Restore(t.Context(), "main", request)
	mustRefuse(t, err, "is not in "+dataDir+" any more")
	if err := os.Rename(f.path("/member"), f.path(dataDir+"/member")); err != nil {
		t.Fatal(err)
	}

	for range 2 {
		if err := f.RollBack(t.Context(), "main", api.RollBackRequest{Owner: fleetOwner}); err != nil {
			t.Fatal(err)
		}
	}
	if left := leftovers(t, f.Machine); len(left) > len(empty) {
		t.Errorf("rolled back it has %q, and had %q", left, empty)
	}
	if _, err := os.Stat(f.path(api.CertificateMetricsFile("main"))); err == nil {
		t.Error("rolled back it tells when certificates expire that are gone")
	}
	f.fetched(t, content)
	if _, err := f.Restore(t.Context(), "main", request); err != nil {
		t.Errorf("once more: %v", err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	f, s := stopped(t)
	bare, _, _ := donor(t)
	fenced, _ := twin(t, f, false)
	if _, err := fenced.Fence(t.Context(), "main", api.FenceRequest{Owner: fleetOwner, Source: "s", Snapshot: s.SHA256}); err != nil {
		t.Fatal(err)
	}
	free, _ := twin(t, f, false)
	for name, test := range map[string]struct {
		m     *Machine
		spoil func(*api.RestoreRequest)
		says  string
	}{
		"not fenced":            {free, nil, "fence it first"},
		"another owner":         {fenced, func(r *api.RestoreRequest) { r.Marker.Owner = "another" }, "another Terraform object"},
		"another cluster":       {fenced, func(r *api.RestoreRequest) { r.Marker.Cluster = "other" }, `of cluster "other"`},
		"another snapshot":      {fenced, func(r *api.RestoreRequest) { r.Snapshot = strings.Repeat("0", 64) }, "fence the host for that"},
		"no snapshot":           {fenced, func(r *api.RestoreRequest) { r.Snapshot = "../x" }, "no SHA-256"},
		"no token":              {fenced, func(r *api.RestoreRequest) { r.Marker.Token = "" }, "a token"},
		"no bump":               {fenced, func(r *api.RestoreRequest) { r.Bump = 0 }, "raise them"},
		"too little of it":      {fenced, func(r *api.RestoreRequest) { r.Bump = 1 }, "clients may have seen revision"},
		"no data directory":     {fenced, func(r *api.RestoreRequest) { r.Marker.DataDir = "/etc/x" }, "data directory"},
		"fetched for elsewhere": {fenced, func(r *api.RestoreRequest) { r.Marker.DataDir = "/srv/etcd" }, "fetch it first"},
		"fetched nowhere":       {bare.Machine, func(r *api.RestoreRequest) { r.Snapshot = strings.Repeat("0", 64) }, "fetch it first"},
	} {
		t.Run(name, func(t *testing.T) {
			look := was
			if test.m == bare.Machine {
				look = func(t *testing.T, m *Machine) map[string]string { return tree(t, m, "/var") }
			}
			before := look(t, test.m)
			r := f.restoreOf([]*fleetMember{f}, s, "token-2", 100)
			if test.spoil != nil {
				test.spoil(&r)
			}
			_, err := test.m.Restore(t.Context(), "main", r)
			mustRefuse(t, err, test.says)
			for path, what := range look(t, test.m) {
				if before[path] != what && !strings.HasSuffix(path, "restore.json") {
					t.Errorf("%s has changed", path)
				}
			}
		})
	}
	t.Run("a member that is not in the cluster", func(t *testing.T) {
		r := f.restoreOf([]*fleetMember{f}, s, "token-2", 100)
		r.Marker.Member = "z"
		_, err := fenced.Restore(t.Context(), "main", r)
		mustFail(t, err, api.CodeFailed, "for member z")
		if aside, err := fenced.dataDir(dataDir).Aside(); err != nil || len(aside) > 0 {
			t.Errorf("it has left %q, %v", aside, err)
		}
	})
	t.Run("somebody else's data", func(t *testing.T) {
		bare, s, _ := donor(t)
		writeFile(t, bare.Machine, dataDir+"/mail", "hello")
		_, err := bare.Restore(t.Context(), "main", bare.restoreOf([]*fleetMember{bare}, s, "token-2", 100))
		mustRefuse(t, err, "is not empty")
	})
	t.Run("stages", func(t *testing.T) {
		for _, stage := range []api.Stage{api.StageChecked, api.StageOpened, "", api.StageRestored, "done"} {
			mustRefuse(t, fenced.Advance("main", api.AdvanceRequest{Owner: fleetOwner, Stage: stage}))
		}
		mustRefuse(t, fenced.Advance("main", api.AdvanceRequest{Owner: "another", Stage: api.StageChecked}))
		mustRefuse(t, free.Advance("main", api.AdvanceRequest{Owner: fleetOwner, Stage: api.StageChecked}), "no restore is under way")
		mustRefuse(t, fenced.RollBack(t.Context(), "main", api.RollBackRequest{Owner: "another"}))
		if err := free.RollBack(t.Context(), "main", api.RollBackRequest{Owner: fleetOwner}); err != nil {
			t.Errorf("nothing to roll back: %v", err)
		}
	})
	t.Run("a record that cannot be read", func(t *testing.T) {
		describe(t, free)
		writeFile(t, free, api.RestoreFile("main"), "{")
		if _, err := free.Observe(t.Context(), "main", api.ObserveRequest{}); err == nil || !strings.Contains(err.Error(), "restore.json") {
			t.Errorf("it is observed: %v", err)
		}
		if err := free.Guard("main"); err == nil || !strings.Contains(err.Error(), "restore.json") {
			t.Errorf("the guard says %v", err)
		}
	})
}

// TestFenceGoesOn holds that a host that is fenced can be fenced for another snapshot, and a restored one cannot.
func TestFenceGoesOn(t *testing.T) {
	t.Parallel()
	f, s := stopped(t)
	m, units := twin(t, f, false)
	units.enabled[api.Unit("main")] = false
	first, err := m.Fence(t.Context(), "main", api.FenceRequest{Owner: fleetOwner, Source: "one", Snapshot: strings.Repeat("0", 64)})
	if err != nil || first.Enabled {
		t.Fatalf("fenced is %+v, %v", first, err)
	}
	units.enabled[api.Unit("main")] = true // it is not what was there before
	again, err := m.Fence(t.Context(), "main", api.FenceRequest{Owner: fleetOwner, Source: "two", Snapshot: s.SHA256})
	if err != nil || again.Source != "two" || again.Snapshot != s.SHA256 || again.Enabled || again.Revision != first.Revision || !again.Began.Equal(first.Began) {
		t.Errorf("fenced again it is %+v, %v", again, err)
	}
	if _, err := m.Restore(t.Context(), "main", f.restoreOf([]*fleetMember{f}, s, "token-2", 100)); err != nil {
		t.Fatal(err)
	}
	same, err := m.Fence(t.Context(), "main", api.FenceRequest{Owner: fleetOwner, Source: "two", Snapshot: s.SHA256})
	if err != nil || same.Stage != api.StageRestored {
		t.Errorf("fenced once restored it is %+v, %v", same, err)
	}
	_, err = m.Fence(t.Context(), "main", api.FenceRequest{Owner: fleetOwner, Source: "one", Snapshot: strings.Repeat("0", 64)})
	mustRefuse(t, err, "with snapshot "+s.SHA256)
	_, err = m.Restore(t.Context(), "main", f.restoreOf([]*fleetMember{f}, s, "token-3", 100))
	mustRefuse(t, err, "token-2")
}

// TestRetireEndsARestore holds that a host can be left at each stage of a restore.
func TestRetireEndsARestore(t *testing.T) {
	t.Parallel()
	f, s := stopped(t)
	for _, purge := range []bool{false, true} {
		for _, restored := range []bool{false, true} {
			m, _ := twin(t, f, false)
			if _, err := m.Fence(t.Context(), "main", api.FenceRequest{Owner: fleetOwner, Source: "one", Snapshot: s.SHA256}); err != nil {
				t.Fatal(err)
			}
			if restored {
				if _, err := m.Restore(t.Context(), "main", f.restoreOf([]*fleetMember{f}, s, "token-2", 100)); err != nil {
					t.Fatal(err)
				}
			}
			retired, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: fleetOwner, Purge: purge})
			if err != nil || m.etcd(retired.Path).HasMember() == purge {
				t.Errorf("purge %v, restored %v: %+v, %v", purge, restored, retired, err)
			}
			if left := leftovers(t, m); len(left) > 0 {
				t.Errorf("purge %v, restored %v: these are left: %q", purge, restored, left)
			}
		}
	}
	// One that was cut short before the host said whose it is.
	bare, s, _ := donor(t)
	stores := paths(tree(t, bare.Machine, api.StoreRoot)) // which nobody has selected yet
	request := bare.restoreOf([]*fleetMember{bare}, s, "token-2", 10)
	if !cutAt(t, bare.Machine, 3, func() error { _, err := bare.Restore(t.Context(), "main", request); return err }) {
		t.Fatal("it came to its end")
	}
	_, err := bare.Retire(t.Context(), "main", api.RetireRequest{Owner: "another"})
	mustRefuse(t, err)
	if _, err := bare.Retire(t.Context(), "main", api.RetireRequest{Owner: fleetOwner}); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, bare.Machine); len(left) != len(stores) {
		t.Errorf("these are left: %q", left)
	}
}
