package nodetest_test

import (
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// swap restarts the ith member with another store.
func (d *driver) swap(i int, store string) {
	d.Helper()
	if err := d.world.Host(d.addresses[i]).Install(d.Context(), "prod", store, api.Target{}); err != nil {
		d.Fatal(err)
	}
	d.configureAs(i, *d.observe(i).Marker, "existing", store)
	if leader, other := d.leader(3); leader == i {
		d.ask(i, api.OpMoveLeader, api.MoveLeaderRequest{Owner: "us", To: d.id(other)}, nil)
	}
	d.ask(i, api.OpRestart, api.RestartRequest{Owner: "us"}, nil)
	d.world.Tick()
}

// versions returns the versions of the ith member's server, cluster and database.
func (d *driver) versions(i int) string {
	d.Helper()
	m := d.observe(i).Member
	return strings.Join([]string{m.Version, m.ClusterVersion, m.StorageVersion, m.Downgrade}, " ")
}

// TestDownAndUp takes a cluster down a minor version and up again.
func TestDownAndUp(t *testing.T) {
	d := serving(t, t, 3, 3)
	older := d.world.AddStores("3.6.16")["amd64"]
	expect := func(want string, members ...int) {
		t.Helper()
		for _, i := range members {
			if got := d.versions(i); got != want {
				t.Errorf("member %d: %q, want %q", i, got, want)
			}
		}
	}
	expect("3.7.3 3.7.0 3.7.0 ", 0, 1, 2)
	d.refused(0, api.OpDowngrade, api.DowngradeRequest{Owner: "us", Version: "3.5"}, "invalid downgrade target version")
	d.world.Host(d.addresses[2]).PowerCut()
	for range 2 {
		d.ask(0, api.OpDowngrade, api.DowngradeRequest{Owner: "us", Version: "3.6"}, nil)
	}
	d.world.Tick()
	expect("3.7.3 3.7.0 3.7.0 3.6.0", 0, 1)
	d.world.Host(d.addresses[2]).PowerOn()
	d.lock(d.addresses[2])
	d.world.Tick()
	d.world.Tick()
	expect("3.7.3 3.6.0 3.6.0 3.6.0", 0, 1, 2)
	for i := range 3 {
		d.swap(i, older)
	}
	d.world.Tick()
	expect("3.6.16 3.6.0 3.6.0 ", 0, 1, 2)
	if o := d.observe(0); o.Store.Selected != older || o.Unit.Process.Store != older || o.Store.EtcdVersion != "3.7.3" {
		t.Errorf("store %+v, process %+v", o.Store, o.Unit.Process)
	}
	d.swap(0, d.store())
	d.swap(1, d.store())
	expect("3.7.3 3.6.0 3.6.0 ", 0, 1)
	d.swap(2, d.store())
	d.world.Tick()
	expect("3.7.3 3.7.0 3.7.0 ", 0, 1, 2)
}

// TestVersionsThatCannotRun replaces stores without asking.
func TestVersionsThatCannotRun(t *testing.T) {
	d := serving(t, t, 3, 3)
	older := d.world.AddStores("3.6.16")["amd64"]
	d.swap(2, older)
	if o := d.observe(2); o.Unit.SubState != "auto-restart" || !strings.Contains(o.Unit.Journal[0], `version "3.7.0" is not supported`) {
		t.Errorf("an older one: %+v", o.Unit)
	}
	d.swap(2, d.world.AddStores("3.9.0")["amd64"])
	if o := d.observe(2); o.Unit.SubState != "auto-restart" || !strings.Contains(o.Unit.Journal[0], "one minor at a time") {
		t.Errorf("one of two minors later: %+v", o.Unit)
	}
	d.world.Doom(d.store(), "panic: it is Monday")
	d.swap(2, d.store())
	if o := d.observe(2); !strings.Contains(o.Unit.Journal[0], "Monday") {
		t.Errorf("a doomed one: %+v", o.Unit)
	}
}

// TestTry has a store not know a flag.
func TestTry(t *testing.T) {
	d := serving(t, t, 1, 1)
	flags := d.observe(0).Flags
	d.ask(0, api.OpTry, api.TryRequest{Store: d.store(), Flags: flags}, nil)
	d.world.RefuseFlags(d.store(), "--name")
	d.refused(0, api.OpTry, api.TryRequest{Store: d.store(), Flags: flags}, "flag provided but not defined: -name")
	d.refused(0, api.OpTry, api.TryRequest{Store: "5707e", Flags: flags}, "not installed")
	d.ask(0, api.OpRestart, api.RestartRequest{Owner: "us"}, nil)
	d.world.Tick()
	if o := d.observe(0); !strings.Contains(strings.Join(o.Unit.Journal, "\n"), "not defined: -name") {
		t.Errorf("started all the same: %+v", o.Unit)
	}
}
