package upgrade_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// restoreCase is a site with a snapshot, and a configuration that restores the snapshot.
type restoreCase struct {
	*life
	snapshot []byte
	cutAt    int64               // bytes after which the connection that sends the snapshot is cut; 0: never
	sends    int                 // how often the snapshot was opened to be sent
	old      []membership.Member // of the cluster that the snapshot is restored over
}

// outdone forms a cluster, takes a snapshot of it, and writes on.
func outdone(t tb, n int) *restoreCase {
	t.Helper()
	l := serving(t, n, nodetest.EtcdVersion)
	r := &restoreCase{life: l, snapshot: l.world.Snapshot(cluster), old: slices.Clone(l.cluster.Members)}
	l.put()
	l.put()
	r.askFor("backup.db")
	return r
}

// askFor has the configuration restore the snapshot over the present cluster.
func (r *restoreCase) askFor(source string) {
	r.Helper()
	sum := sha256.Sum256(r.snapshot)
	r.cluster.Restore = membership.Restoration{Source: source, SHA256: hex.EncodeToString(sum[:]), Overwrites: r.id()}
	r.world.Desired = r.cluster.Addresses()
}

// id returns the ID of the cluster that the hosts carry.
func (r *restoreCase) id() string {
	for _, m := range r.members {
		if marker := r.world.Host(m.Address).Marker(cluster); marker != nil && marker.ClusterID != "" {
			return marker.ClusterID
		}
	}
	return ""
}

// lookToRestore returns what is observed of all hosts that the state or the configuration knows.
func (r *restoreCase) lookToRestore() membership.Restoring {
	members := slices.Clone(r.members)
	for _, m := range r.cluster.Members {
		if !slices.Contains(members, m) {
			members = append(members, m)
		}
	}
	return r.cluster.Restoring(r.owner, false, r.executor().Observe(context.Background(), members), r.world.Now())
}

// plannedRestore returns the plan as it is shown before anything is done.
func (r *restoreCase) plannedRestore() plan.Plan {
	r.Helper()
	r.world.Forget()
	plan, err := planRestore(r)
	if err != nil {
		r.Fatalf("plan: %v", err)
	}
	if changes := r.world.Changes(); len(changes) > 0 {
		r.Errorf("a plan has changed hosts: %v", changes)
	}
	return plan
}

func planRestore(r *restoreCase) (plan.Plan, error) {
	return plan.Restore(r.lookToRestore(), r.cluster.Spec)
}

// send opens the snapshot.
func (r *restoreCase) send(context.Context) (io.ReadCloser, api.Upload, error) {
	r.sends++
	sum := sha256.Sum256(r.snapshot)
	var content io.Reader = bytes.NewReader(r.snapshot)
	if r.cutAt > 0 {
		content = io.MultiReader(io.LimitReader(content, r.cutAt), iotest.ErrReader(errors.New("the line was cut")))
	}
	return io.NopCloser(content), api.Upload{SizeBytes: int64(len(r.snapshot)), SHA256: hex.EncodeToString(sum[:])}, nil
}

// restore is one apply by a new process. The state follows what it returns.
func (r *restoreCase) restore(ctx context.Context, approved []membership.Step) (upgrade.Restored, error) {
	e := r.executor()
	done, err := e.Restore(ctx, upgrade.RestoreOrder{
		Formation: bootstrap.Formation{Owner: r.owner, Token: fmt.Sprintf("token-%d", r.runs)},
		Members:   r.members, Approved: approved, Content: upgrade.Content{Open: r.send},
	})
	r.members = slices.Clone(r.members)
	for m := range done.Reports {
		if !slices.Contains(r.members, m) {
			r.members = append(r.members, m)
		}
	}
	if err == nil && !r.cluster.Restore.RollBack {
		for _, m := range r.members {
			left := !slices.Contains(r.cluster.Members, m)
			r.forgotten[m.Address] = r.forgotten[m.Address] || left && done.Reports[m].Err != nil
		}
		r.members = slices.Clone(r.cluster.Members)
		r.token = done.Token
	}
	return done, err
}

// mustRestore carries out what was planned, all of it and nothing else. Nothing is left to do then, neither for the
// restore nor for a change.
func (r *restoreCase) mustRestore() upgrade.Restored {
	r.Helper()
	plan := r.plannedRestore()
	r.world.Forget()
	done, err := r.restore(context.Background(), plan.Steps)
	if err != nil {
		r.Fatalf("restore: %v\nplan:\n%s\nprogress:\n%s", err, texts(plan.Steps), strings.Join(r.progress, "\n"))
	}
	if diff := cmp.Diff(texts(plan.Steps), texts(done.Done)); diff != "" {
		r.Errorf("done differs from planned (-planned +done):\n%s", diff)
	}
	r.mustBeRestored()
	return done
}

// mustBeRestored fails the test if the desired hosts are not the restored cluster, whole and like any other.
func (r *restoreCase) mustBeRestored() {
	r.Helper()
	before := r.id()
	again, err := r.restore(context.Background(), nil)
	if err != nil || len(again.Done) > 0 {
		r.Errorf("a second restore: %v\n%s", err, texts(again.Done))
	}
	if before == r.cluster.Restore.Overwrites || before == "" {
		r.Errorf("the cluster has ID %q, and the old one had %q", before, r.cluster.Restore.Overwrites)
	}
	r.mustHaveKeys()
	r.cluster.Restore = membership.Restoration{}
	r.mustBeAsDesired()
	r.mustBeDone()
}

// mustHaveKeys fails the test if a member has other data than the snapshot, or than the other members.
func (r *restoreCase) mustHaveKeys() {
	r.Helper()
	var want int
	var first api.Hash
	if _, err := fmt.Sscanf(string(r.snapshot), "snapshot %d", &want); err != nil {
		r.Fatalf("%v", err)
	}
	for i, m := range r.cluster.Members {
		hash := ask[api.Hash](r, m, api.OpHash, api.HashRequest{CountAt: 1})
		if hash.Keys != int64(want-1) {
			r.Errorf("%s has %d keys, and the snapshot %d", m.Name, hash.Keys, want-1)
		}
		if i == 0 {
			first = hash
		}
		if hash != first {
			r.Errorf("%s has %+v, and %s %+v", m.Name, hash, r.cluster.Members[0].Name, first)
		}
	}
}

// ask makes a call that reads.
func ask[R any](r *restoreCase, m membership.Member, op api.Operation, body any) (result R) {
	r.Helper()
	if err := r.world.Host(m.Address).Call(context.Background(), "", request(op, body), &result); err != nil {
		r.Errorf("%s of %s: %v", op, m.Name, err)
	}
	return result
}
