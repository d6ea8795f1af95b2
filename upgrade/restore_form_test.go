package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// unborn returns a cluster that is to be created from a snapshot of another one, on bare hosts.
func unborn(t tb, n int) *restoreCase {
	t.Helper()
	s := newSite(t, n)
	r := &restoreCase{life: &life{site: s, forgotten: map[string]bool{}}, snapshot: []byte("snapshot 8 0 whatever")}
	r.askFor("backup.db")
	return r
}

// create is one create by a new process, with its own owner and token.
func (r *restoreCase) create(ctx context.Context) (upgrade.Restored, error) {
	e := r.executor()
	return e.Restore(ctx, upgrade.RestoreOrder{
		Formation: bootstrap.Formation{Owner: fmt.Sprintf("owner-%d", r.runs), Token: fmt.Sprintf("token-%d", r.runs)},
		Creating:  true, Content: upgrade.Content{Open: r.send},
	})
}

// mustCreate fails the test if the create does not end with one healthy cluster that has the data of the snapshot.
func (r *restoreCase) mustCreate() upgrade.Restored {
	r.Helper()
	done, err := r.create(context.Background())
	if err != nil {
		r.Fatalf("create: %v\n%s", err, strings.Join(r.progress, "\n"))
	}
	r.mustBeFormed(done.Owner)
	r.mustHaveKeys()
	if done.ClusterID == "" || done.ClusterID != r.host("a").Marker(cluster).ClusterID || done.Token != r.host("a").Marker(cluster).Token {
		r.Errorf("the result names cluster %q with token %q, and the hosts %+v", done.ClusterID, done.Token, r.host("a").Marker(cluster))
	}
	return done
}

// TestCreateFromSnapshot creates clusters from a snapshot: the run does what is planned for hosts that nobody has
// observed yet.
func TestCreateFromSnapshot(t *testing.T) {
	sizes(t, func(t *testing.T, n int) {
		bubble(t, func(t *testing.T) {
			r := unborn(t, n)
			plan, err := plan.Restore(r.cluster.Restoring("", true, nil, r.world.Now()), r.cluster.Spec)
			if err != nil {
				t.Fatal(err)
			}
			done := r.mustCreate()
			if texts(done.Done) != texts(plan.Steps) {
				t.Errorf("planned:\n%s\ndone:\n%s", texts(plan.Steps), texts(done.Done))
			}
			if done.Revision != 8 || done.Keys != 7 || done.Bump < 2 || done.Snapshot != r.cluster.Restore.SHA256 {
				t.Errorf("result: %+v", done)
			}
			r.cluster.Restore = membership.Restoration{}
			r.mustBeLeftAlone()
		})
	})
}

// TestCreateIsHandedOverThoughHostsCannotRenew holds that a create from a snapshot succeeds with a notice if a host
// refuses to renew certificates by itself.
func TestCreateIsHandedOverThoughHostsCannotRenew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := unborn(t, 3)
		place := &api.SigningPlace{Digest: "1", URL: "https://192.0.2.8", Key: secret.New("00")}
		r.cluster = r.cluster.RenewedOnHosts(&api.Renewal{Peers: place}, api.RenewalPlaces{Peers: true, Clients: true})
		r.world.Inject(nodetest.Fault{Address: r.cluster.Members[1].Address, Operation: api.OpRenewOnHost, Err: errors.New("invalid token")})
		done := r.mustCreate()
		if done.Unrenewed == nil || !strings.Contains(done.Unrenewed.Error(), "invalid token") {
			t.Errorf("it says %v", done.Unrenewed)
		}
		for name, renews := range map[string]bool{"a": true, "b": false, "c": true} {
			if has := r.host(name).Renews(cluster) != nil; has != renews {
				t.Errorf("%s renews: %t", name, has)
			}
		}
	})
}

// TestFormedThoughHostsCannotRenew holds that a create of an empty cluster succeeds with a notice if a host refuses to
// renew certificates by itself.
func TestFormedThoughHostsCannotRenew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, 3)
		place := &api.SigningPlace{Digest: "1", URL: "https://192.0.2.8", Key: secret.New("00")}
		s.cluster = s.cluster.RenewedOnHosts(&api.Renewal{Peers: place}, api.RenewalPlaces{Peers: true, Clients: true})
		s.world.Inject(nodetest.Fault{Address: s.cluster.Members[1].Address, Operation: api.OpRenewOnHost, Err: errors.New("invalid token")})
		formed, err := s.form(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.mustBeFormed(formed.Owner)
		if formed.Unrenewed == nil || !strings.Contains(formed.Unrenewed.Error(), "invalid token") {
			t.Errorf("it says %v", formed.Unrenewed)
		}
		if shown := "renew on hosts: peers' by https://192.0.2.8"; !strings.Contains(strings.Join(s.progress, "\n"), shown) {
			t.Errorf("its progress does not say %q:\n%s", shown, strings.Join(s.progress, "\n"))
		}
		for name, renews := range map[string]bool{"a": true, "b": false, "c": true} {
			if has := s.host(name).Renews(cluster) != nil; has != renews {
				t.Errorf("%s renews: %t", name, has)
			}
		}
	})
}

// TestCreateFromSnapshotSurvivesEveryFault makes every call of a create fail once, and kills the run at every call
// once. The next create finishes the cluster.
func TestCreateFromSnapshotSurvivesEveryFault(t *testing.T) {
	calls := 0
	bubble(t, func(t *testing.T) {
		whole := unborn(t, 3)
		whole.mustCreate()
		calls = len(whole.world.Calls())
	})
	for _, fault := range everyFault(5, calls) {
		t.Run(describe(fault), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				r := unborn(t, 3)
				r.world.Inject(fault)
				_, err := r.create(context.Background())
				r.world.Heal()
				first := r.progress
				switch {
				case err == nil:
				case r.handedOver():
					if _, err := r.create(context.Background()); err == nil || !strings.Contains(err.Error(), "finished cluster") {
						t.Errorf("a create over a finished cluster: %v", err)
					}
				default:
					r.mustCreate()
				}
				if ids := r.world.HandedOver(); len(ids) != 1 {
					t.Errorf("clusters handed over: %v", ids)
				}
				if t.Failed() {
					t.Logf("after %v, in\n%s", err, strings.Join(first, "\n"))
				}
			})
		})
	}
}

// TestCreateRefusesDuringRestore cuts a create from a snapshot short: a create without the snapshot does not continue
// it.
func TestCreateRefusesDuringRestore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := unborn(t, 3)
		r.world.Inject(nodetest.Fault{Operation: api.OpAwait, Extent: nodetest.Run})
		if _, err := r.create(context.Background()); err == nil {
			t.Fatal("the create was not cut short")
		}
		r.world.Heal()
		r.world.Forget()
		desired := r.cluster.Restore
		r.cluster.Restore = membership.Restoration{}
		if _, err := r.form(context.Background()); err == nil || !strings.Contains(err.Error(), "a restore of backup.db, since 2026-03-01T12:00:00Z, is under way on it: put `restore` back into the configuration to finish it") {
			t.Errorf("form: %v", err)
		}
		if changes := r.world.Changes(); len(changes) > 0 {
			t.Errorf("hosts were changed: %v", changes)
		}
		r.cluster.Restore = desired
		r.mustCreate()
	})
}

// TestCreateFromSnapshotOverUnfinishedCreate cuts a create without a snapshot short, and continues with a snapshot:
// what the first create left is moved aside.
func TestCreateFromSnapshotOverUnfinishedCreate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := unborn(t, 3)
		desired := r.cluster.Restore
		r.cluster.Restore = membership.Restoration{}
		r.world.Inject(nodetest.Fault{Operation: api.OpConfigure, Nth: 5, Extent: nodetest.Run}) // one host is settled
		if _, err := r.form(context.Background()); err == nil {
			t.Fatal("the create was not cut short")
		}
		r.world.Heal()
		r.cluster.Restore = desired
		done := r.mustCreate()
		if len(done.Aside) != 3 {
			t.Errorf("kept aside: %v", done.Aside)
		}
	})
}

// TestCreateFromSnapshotOverOtherMembers does the same after a create of other members.
func TestCreateFromSnapshotOverOtherMembers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := unborn(t, 3)
		desired, three := r.cluster.Restore, r.cluster.Members
		r.cluster.Restore, r.cluster.Members = membership.Restoration{}, three[:1]
		r.world.Inject(nodetest.Fault{Operation: api.OpAwait, Extent: nodetest.Run})
		if _, err := r.form(context.Background()); err == nil {
			t.Fatal("the create was not cut short")
		}
		r.world.Heal()
		r.cluster.Restore, r.cluster.Members = desired, three
		r.mustCreate()
	})
}

// TestRestoreRefusesWhatWasWritten has somebody write to a cluster that is not quite formed: a create from a snapshot
// does not discard the writes, whether the member serves or is stopped.
func TestRestoreRefusesWhatWasWritten(t *testing.T) {
	for name, happen := range map[string]func(*nodetest.Host){"it serves": func(*nodetest.Host) {}, "it is stopped": func(h *nodetest.Host) { h.StopUnit(cluster) }} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := unborn(t, 3)
				desired := r.cluster.Restore
				r.cluster.Restore = membership.Restoration{}
				// No host is settled.
				r.world.Inject(nodetest.Fault{Operation: api.OpConfigure, Nth: 4, Extent: nodetest.Run})
				if _, err := r.form(context.Background()); err == nil {
					t.Fatal("the create was not cut short")
				}
				r.world.Heal()
				r.host("a").Write(cluster)
				happen(r.host("a"))
				r.world.Forget()
				r.cluster.Restore = desired
				if _, err := r.create(context.Background()); err == nil || !strings.Contains(err.Error(), "somebody has written to that since (revision 2)") {
					t.Errorf("create: %v", err)
				}
				if changes := r.world.Changes(); len(changes) > 0 {
					t.Errorf("hosts were changed: %v", changes)
				}
			})
		})
	}
}
