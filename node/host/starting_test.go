package host

import (
	"bytes"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
)

// TestPatience holds that a look waits for a member that was started just now, and not for one that will not come.
func TestPatience(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, "/proc/uptime", "1000.50 2000.00\n")
	stat := func(pid, started string) {
		writeFile(t, m, "/proc/"+pid+"/stat", pid+" (a) b (c) S 1 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 9 0 "+started+" 1 1\n")
	}
	stat("7", "99050") // 10 s ago
	stat("8", "90050") // 100 s ago
	if age, known := m.proc().Age(7); !known || age != 10*time.Second {
		t.Errorf("the age is %s, %v", age, known)
	}
	starting := func() api.Observation {
		return api.Observation{Marker: &api.Marker{Phase: api.PhaseFormed}, Unit: api.UnitState{ActiveState: "activating", FileState: "enabled", MainPID: 7}}
	}
	held := func(c api.Certificate) func(*api.Observation) {
		return func(o *api.Observation) {
			o.Certificates = map[string]api.Certificate{"peer-ca": {PEM: "a"}, "server": c}
		}
	}
	for name, test := range map[string]struct {
		edit func(*api.Observation)
		want bool
	}{
		"young":               {func(*api.Observation) {}, true},
		"has served":          {func(o *api.Observation) { o.Unit.ActiveState, o.Unit.MainPID = "active", 8 }, true},
		"crashed, has served": {func(o *api.Observation) { o.Unit.ActiveState, o.Unit.Restarts = "active", lostRestarts }, true},
		"old, never served":   {func(o *api.Observation) { o.Unit.MainPID = 8 }, false},
		"gone":                {func(o *api.Observation) { o.Unit.MainPID = 9 }, false},
		"healthy":             {func(o *api.Observation) { o.Member.Healthy, o.Member.Ready = true, true }, false},
		"not ready":           {func(o *api.Observation) { o.Unit.ActiveState, o.Member.Healthy = "active", true }, true},
		"a learner":           {func(o *api.Observation) { o.Member = api.Member{Responding: true, Learner: true, Leader: "1"} }, false},
		"a learner, alone":    {func(o *api.Observation) { o.Member = api.Member{Responding: true, Learner: true} }, true},
		"about to be started": {func(o *api.Observation) { o.Unit.MainPID, o.Unit.ActiveState, o.Unit.Queued = 0, "inactive", true }, true},
		"starting":            {func(o *api.Observation) { o.Unit.MainPID, o.Unit.ActiveState = 0, "activating" }, true},
		"stopped":             {func(o *api.Observation) { o.Unit.MainPID, o.Unit.ActiveState = 0, "inactive" }, false},
		"disabled":            {func(o *api.Observation) { o.Unit.FileState = "disabled" }, false},
		"failed":              {func(o *api.Observation) { o.Unit.ActiveState = "failed" }, false},
		"again and again":     {func(o *api.Observation) { o.Unit.Restarts = lostRestarts }, false},
		"refused":             {func(o *api.Observation) { o.Guard = "the data is gone" }, false},
		"forming":             {func(o *api.Observation) { o.Marker.Phase = api.PhaseForming }, false},
		"restored":            {func(o *api.Observation) { o.Restore = &api.Restoration{} }, false},
		"its keys are there":  {held(api.Certificate{PEM: "a", HasKey: true}), true},
		"a key is missing":    {held(api.Certificate{PEM: "a", NoKey: true}), false},
		"another's key":       {held(api.Certificate{PEM: "a"}), false},
		"no certificate":      {held(api.Certificate{}), false},
		"a certificate of garbage, has served": {func(o *api.Observation) {
			o.Unit.ActiveState, o.Unit.MainPID = "active", 8
			held(api.Certificate{Error: "it holds no PEM"})(o)
		}, false},
		"a bundle is missing": {func(o *api.Observation) { o.Certificates = map[string]api.Certificate{"peer-ca": {}} }, false},
		"no member":           {func(o *api.Observation) { o.Marker = nil }, false},
	} {
		o := starting()
		test.edit(&o)
		if got := m.mayComeYet(o, 30*time.Second, time.Second); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
		if m.mayComeYet(o, 0, 0) {
			t.Errorf("%s is waited for by who has no patience", name)
		}
	}
	o := starting()
	o.Unit.ActiveState, o.Unit.MainPID = "active", 8
	if !m.mayComeYet(o, 30*time.Second, lastingFailure-time.Second) || m.mayComeYet(o, 30*time.Second, lastingFailure) {
		t.Error("a member that has served is not given exactly as long as an election may take")
	}
	if lastingFailure < 20*time.Second {
		t.Errorf("elections on slow disks have taken 18 s, and a member is given %s", lastingFailure)
	}
}

// TestObserveAwaitsAStart has a real member restarted, and looked at in the same moment.
func TestObserveAwaitsAStart(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	view := f.await(t, api.AwaitRequest{Members: 1}).Member
	f.formed(t, view)
	if err := f.Restart(t.Context(), "main", api.RestartRequest{Owner: fleetOwner}); err != nil {
		t.Fatal(err)
	}
	if o, err := f.Observe(t.Context(), "main", api.ObserveRequest{Patience: time.Minute}); err != nil || !o.Member.Healthy {
		t.Errorf("it reads %+v, %v", o.Member, err)
	}
}

// TestLooping tells a member that ends each time that it is started from one that waits for its peers.
func TestLooping(t *testing.T) {
	m, _ := newMachine(t)
	writeFile(t, m, "/proc/uptime", "1000.50 2000.00\n")
	for pid, started := range map[string]string{"7": "99850", "8": "90050"} { // 2 s and 100 s ago
		writeFile(t, m, "/proc/"+pid+"/stat", pid+" (etcd) S 1 1 1 0 -1 4194304 1 0 0 0 1 1 0 0 20 0 9 0 "+started+" 1 1\n")
	}
	for name, test := range map[string]struct {
		unit api.UnitState
		want bool
	}{
		"between two starts":         {api.UnitState{ActiveState: "activating", Restarts: lostRestarts}, true},
		"just started once more":     {api.UnitState{ActiveState: "activating", Restarts: 40, MainPID: 7}, true},
		"its port was taken at boot": {api.UnitState{ActiveState: "activating", Restarts: lostRestarts - 1, MainPID: 7}, false},
		"it serves by now":           {api.UnitState{ActiveState: "active", Restarts: 40, MainPID: 7}, false},
		"it waits for its peers":     {api.UnitState{ActiveState: "activating", Restarts: 40, MainPID: 8}, false},
		"it has just ended":          {api.UnitState{ActiveState: "deactivating", Restarts: lostRestarts, Vain: time.Second}, true},
		"it ended while looked at":   {api.UnitState{ActiveState: "activating", Restarts: lostRestarts, MainPID: 9, Vain: 5 * time.Second}, true},
		"it is being stopped":        {api.UnitState{ActiveState: "deactivating", Restarts: lostRestarts, MainPID: 7, Vain: time.Second}, false},
		"it reads for long":          {api.UnitState{ActiveState: "activating", Restarts: 40, MainPID: 8, Vain: 80 * time.Second}, true},
		"it reads for longer still":  {api.UnitState{ActiveState: "activating", Restarts: 40, MainPID: 8, Vain: 60 * time.Second}, false},
		"stopped":                    {api.UnitState{ActiveState: "inactive", Restarts: 40}, false},
	} {
		if got := m.loops(test.unit); got != test.want {
			t.Errorf("%s: it loops: %t", name, got)
		}
	}
}

// TestObserveOutlastsAStall has two of three real members stand still for longer than a question may take: who looks
// with patience does not take the third for one that has failed, and who has none hears of it.
func TestObserveOutlastsAStall(t *testing.T) {
	t.Parallel()
	fleet := fleetOf(t, newAuthority(t), "a", "b", "c")
	a, b, c := fleet[0], fleet[1], fleet[2]
	view := a.await(t, api.AwaitRequest{Members: 3}).Member
	a.formed(t, view)
	signal := func(s syscall.Signal) {
		t.Helper()
		for _, f := range []*fleetMember{b, c} {
			if err := f.units.process.Process.Signal(s); err != nil {
				t.Error(err)
			}
		}
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT)
	if o, err := a.Observe(t.Context(), "main", api.ObserveRequest{}); err != nil || o.Member.Healthy || o.Unit.ActiveState != "active" {
		t.Fatalf("while it has no quorum it reads %+v, unit %s, %v", o.Member, o.Unit.ActiveState, err)
	}
	resume := func(after time.Duration) {
		time.Sleep(after)
		signal(syscall.SIGCONT)
	}
	go resume(2 * etcdclient.AskTimeout)
	if o, err := a.Observe(t.Context(), "main", api.ObserveRequest{Patience: time.Minute}); err != nil || !o.Member.Healthy {
		t.Errorf("a stall of %s is reported as a failure: %+v, %v", 2*etcdclient.AskTimeout, o.Member, err)
	}

	// A leader that is elected while the questions are under way: etcd takes the oldest of its pending reads back, and
	// the metrics port does not ask again.
	signal(syscall.SIGSTOP)
	eventually(t, "its leader is gone, and no read is pending", func() bool {
		alone := false
		err := a.local(a.marker).AskMetrics(t.Context(), "/metrics", func(_ int, body io.Reader) {
			text, err := io.ReadAll(body)
			alone = err == nil && bytes.Contains(text, []byte("etcd_server_has_leader 0"))
		})
		return err == nil && alone
	})
	go resume(etcdclient.AskTimeout / 20)
	if o, err := a.Observe(t.Context(), "main", api.ObserveRequest{Patience: time.Minute}); err != nil || !o.Member.Healthy || !o.Member.Ready {
		t.Errorf("a member whose leader is elected while it is asked reads %+v, %v", o.Member, err)
	}
}
