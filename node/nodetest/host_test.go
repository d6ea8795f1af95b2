package nodetest_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// TestRefusals holds what a store refuses without changing anything.
func TestRefusals(t *testing.T) {
	formed := func(t *testing.T) *driver {
		d := drive(t, 1)
		d.form()
		d.world.Host(d.addresses[0]).EditMarker("prod", func(m *api.Marker) { m.Phase, m.Owner = api.PhaseFormed, "them" })
		return d
	}
	for name, test := range map[string]struct {
		arrange func(*testing.T) *driver
		who     string
		op      api.Operation
		body    func(*driver) any
	}{
		"prepare a finished host of others": {formed, holder, api.OpPrepare, func(d *driver) any { return api.PrepareRequest{Marker: d.marker(0, "t1")} }},
		"configure it":                      {formed, holder, api.OpConfigure, func(d *driver) any { return api.ConfigureRequest{Marker: d.marker(0, "t1")} }},
		"stop it":                           {formed, holder, api.OpStop, func(*driver) any { return api.StopRequest{Owner: "us"} }},
		"set it aside":                      {formed, holder, api.OpSetAside, func(*driver) any { return api.SetAsideRequest{Owner: "us", Why: "unfinished"} }},
		"retire it":                         {formed, holder, api.OpRetire, func(*driver) any { return api.RetireRequest{Owner: "us"} }},
		"stop where there is nothing":       {func(t *testing.T) *driver { return drive(t, 1) }, holder, api.OpStop, func(*driver) any { return api.StopRequest{Owner: "us"} }},
		"without the lock":                  {func(t *testing.T) *driver { return drive(t, 1) }, "somebody", api.OpPrepare, func(d *driver) any { return api.PrepareRequest{Marker: d.marker(0, "t1")} }},
		"data of nobody": {func(t *testing.T) *driver {
			d := drive(t, 1)
			d.world.Host(d.addresses[0]).Litter(dataDir)
			return d
		}, holder, api.OpPrepare, func(d *driver) any { return api.PrepareRequest{Marker: d.marker(0, "t1")} }},
		"data of another attempt": {func(t *testing.T) *driver {
			d := drive(t, 1)
			d.form()
			return d
		}, holder, api.OpPrepare, func(d *driver) any { return api.PrepareRequest{Marker: d.marker(0, "t2")} }},
	} {
		t.Run(name, func(t *testing.T) {
			d := test.arrange(t)
			before := d.observe(0)
			err := d.callAs(test.who, d.addresses[0], test.op, test.body(d), nil)
			var refusal *api.Error
			want := api.CodeRefused
			if test.who != holder {
				want = api.CodeBusy
			}
			if !errors.As(err, &refusal) || refusal.Code != want {
				t.Errorf("it answers %v", err)
			}
			if diff := cmp.Diff(before, d.observe(0)); diff != "" {
				t.Errorf("it has changed:\n%s", diff)
			}
		})
	}
}

// TestLocks holds that only one run has a lock, until it is released or lost.
func TestLocks(t *testing.T) {
	d := drive(t, 1)
	host := d.world.Host(d.addresses[0])
	_, _, err := host.Lock(t.Context(), d.store(), "prod", api.Holder{ID: "second"})
	var busy *api.Error
	if !errors.As(err, &busy) || busy.Code != api.CodeBusy || busy.Holder.Who != "us" {
		t.Errorf("the second lock: %v", err)
	}
	held, release, err := host.Lock(t.Context(), d.store(), "events", api.Holder{ID: "second"})
	if err != nil {
		t.Fatalf("the lock of another cluster: %v", err)
	}
	release()
	release()
	if held.Err() == nil {
		t.Error("the lock was freed, and its context goes on")
	}
	host.LoseLock("prod")
	if err := d.call(d.addresses[0], api.OpStart, api.StartRequest{}, nil); err == nil {
		t.Error("a change was made without the lock")
	}
	_, release, err = host.Lock(t.Context(), d.store(), "prod", api.Holder{ID: "second"})
	if err != nil {
		t.Fatal(err)
	}
	release()
}

// TestFaults holds at which calls each kind of fault strikes.
func TestFaults(t *testing.T) {
	ask := api.ObserveRequest{DataDir: dataDir}
	contact := func(w *nodetest.World, address string) bool {
		_, err := w.Host(address).Contact(t.Context(), "prod", ask)
		return err == nil
	}
	for name, test := range map[string]struct {
		fault nodetest.Fault
		want  []bool // whether calls to a, b, a, b succeed
	}{
		"once":             {nodetest.Fault{Nth: 2}, []bool{true, false, true, true}},
		"once at a host":   {nodetest.Fault{Address: "a", Nth: 2}, []bool{true, true, false, true}},
		"a session":        {nodetest.Fault{Address: "a", Nth: 1, Extent: nodetest.Session}, []bool{false, true, false, true}},
		"any session":      {nodetest.Fault{Nth: 2, Extent: nodetest.Session}, []bool{true, false, true, false}},
		"the run":          {nodetest.Fault{Nth: 2, Extent: nodetest.Run}, []bool{true, false, false, false}},
		"another call":     {nodetest.Fault{Operation: api.OpLock}, []bool{true, true, true, true}},
		"after its effect": {nodetest.Fault{Nth: 3, After: true}, []bool{true, true, false, true}},
	} {
		w := nodetest.New(t, "a", "b")
		w.Inject(test.fault)
		got := []bool{contact(w, "a"), contact(w, "b"), contact(w, "a"), contact(w, "b")}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
		w.Heal()
		if !contact(w, "a") || !contact(w, "b") {
			t.Errorf("%s: it has not healed", name)
		}
	}

	w := nodetest.New(t, "a")
	for _, after := range []bool{false, true} {
		w.Inject(nodetest.Fault{Operation: nodetest.Install, After: after, Err: errors.New("no space left on device")})
		if err := w.Host("a").Install(t.Context(), "prod", w.Stores["amd64"], api.Target{}); err == nil || err.Error() != "no space left on device" {
			t.Errorf("install: %v", err)
		}
		w.Heal()
		found, err := w.Host("a").Contact(t.Context(), "prod", ask)
		if err != nil || len(found.Installed) == 1 != after {
			t.Errorf("after its effect %t: installed %v, %v", after, found.Installed, err)
		}
	}
	if got := len(w.Changes()); got != 1 {
		t.Errorf("%d changes have arrived", got)
	}
}

// TestTheUnexpectedFails holds that a call that no real host would get fails the test.
func TestTheUnexpectedFails(t *testing.T) {
	for name, ask := range map[string]func(*nodetest.World){
		"unknown host":  func(w *nodetest.World) { w.Host("192.0.2.99") },
		"unknown store": func(w *nodetest.World) { _ = w.Host("a").Install(t.Context(), "prod", "5707e", api.Target{}) },
		"unknown operation": func(w *nodetest.World) {
			_ = w.Host("a").Call(t.Context(), w.Stores["amd64"], api.Request{Version: api.Version, Operation: "rename", Cluster: "prod"}, nil)
		},
		"unknown version": func(w *nodetest.World) {
			_ = w.Host("a").Call(t.Context(), w.Stores["amd64"], api.Request{Version: 99, Operation: api.OpObserve, Cluster: "prod"}, nil)
		},
		"unknown field": func(w *nodetest.World) {
			_ = w.Host("a").Call(t.Context(), w.Stores["amd64"], api.Request{Version: api.Version, Operation: api.OpObserve, Cluster: "prod", Body: json.RawMessage(`{"colour":"red"}`)}, nil)
		},
	} {
		witness := &recorder{}
		w := nodetest.New(witness, "a")
		if err := w.Host("a").Install(t.Context(), "prod", w.Stores["amd64"], api.Target{}); err != nil {
			t.Fatal(err)
		}
		if ask(w); witness.errors != 1 {
			t.Errorf("%s: %d failures", name, witness.errors)
		}
	}
}

// recorder counts failures.
type recorder struct{ errors int }

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.errors++ }

// TestRetirementLeavesStoresToRunsOfOtherClusters holds that, as on a real host, a store that no cluster selects is
// deleted when a cluster leaves, unless a run of another cluster is under way that may have installed it.
func TestRetirementLeavesStoresToRunsOfOtherClusters(t *testing.T) {
	for name, test := range map[string]struct {
		by    string // the cluster whose run has installed the store; empty: the one that leaves
		run   bool
		since time.Duration
		stays bool
	}{
		"a run that began later":  {by: "events", run: true, since: 5 * time.Hour, stays: true},
		"a run before its lock":   {by: "events", since: time.Minute, stays: true},
		"a run that ended":        {by: "events", since: 5 * time.Hour},
		"a run that is slow":      {run: true, since: 5 * time.Hour, stays: true},
		"nobody":                  {since: 5 * time.Hour},
		"nobody, and it is young": {since: time.Minute, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := drive(t, 1)
			d.configure(0, "t")
			host, brought := d.world.Host(d.addresses[0]), d.world.AddStores("3.6.16")["amd64"]
			if err := host.Install(t.Context(), orOwn(test.by), brought, api.Target{}); err != nil {
				t.Fatal(err)
			}
			if test.run && test.by != "" {
				d.world.Clock = d.world.Clock.Add(test.since)
			}
			if test.run {
				if _, _, err := host.Lock(t.Context(), brought, "events", api.Holder{ID: "other", Who: "them"}); err != nil {
					t.Fatal(err)
				}
			}
			d.world.Clock = d.world.Clock.Add(test.since)
			d.ask(0, api.OpRetire, api.RetireRequest{Owner: "us"}, nil)
			found, err := host.Contact(t.Context(), "prod", api.ObserveRequest{DataDir: dataDir})
			if err != nil || slices.Contains(found.Installed, brought) != test.stays || slices.Contains(found.Installed, d.store()) {
				t.Errorf("installed are %v, %v", found.Installed, err)
			}
		})
	}
}

// orOwn returns the given cluster, or the one that leaves if it is empty.
func orOwn(cluster string) string {
	if cluster == "" {
		return "prod"
	}
	return cluster
}
