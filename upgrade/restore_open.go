package upgrade

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// open opens a member to clients. First its host records that the restore can no longer be undone.
func (r *restoreRun) open(ctx context.Context, m membership.Member) error {
	r.forgetAgreement()
	request, err := r.configuration(m, r.phase(), true)
	if err != nil {
		return err
	}
	if err := r.advance(ctx, m, api.StageOpened); err != nil {
		return err
	}
	if err := r.write(ctx, m, request); err != nil {
		return err
	}
	return r.tell(ctx, m, api.OpRestart, api.RestartRequest{Owner: r.formation.Owner})
}

func (r *restoreRun) advance(ctx context.Context, m membership.Member, stage api.Stage) error {
	return r.tell(ctx, m, api.OpAdvance, api.AdvanceRequest{Owner: r.formation.Owner, Stage: stage})
}

// save takes a snapshot of the restored cluster, which stays on the host.
func (r *restoreRun) save(ctx context.Context, m membership.Member) error {
	saved, err := ask[api.Snapshot](ctx, r.run, m, api.OpSnapshot, api.SnapshotRequest{Owner: r.formation.Owner, Keep: snapshotsKept})
	if err != nil {
		return err
	}
	r.saved = true
	r.Progress(fmt.Sprintf("%s: snapshot of revision %d with %d keys in %s, sha256 %s", m, saved.Revision, saved.Keys, saved.Path, saved.SHA256))
	return nil
}

// conclude completes a restore once the restored cluster is open: it enables or disables backups on the hosts, makes a
// first backup, has them renew certificates by themselves or no longer, and hands over a cluster that was created.
func (r *restoreRun) conclude(ctx context.Context) error {
	var hosts, unrenewed []membership.Member
	for _, m := range r.Cluster.Members {
		if r.isRestored(m) && r.Cluster.Unbacked(r.reports[m].Observation) != "" {
			hosts = append(hosts, m)
		}
		if r.isRestored(m) && r.Cluster.Unrenewed(m, r.reports[m].Observation) != "" {
			unrenewed = append(unrenewed, m)
		}
	}
	limited, cancel := r.step(ctx)
	defer cancel()
	if err := r.backUp(limited, hosts, r.formation.Owner); err != nil {
		return err
	}
	r.firstBackup(ctx)
	err := r.renewRestored(ctx, unrenewed)
	if r.order.Creating {
		r.result.Unrenewed = err // a cluster that is handed over is in the state, whoever cannot ask a signing server
		return r.handOver(ctx)
	}
	if len(hosts)+len(unrenewed) > 0 || r.Cluster.Backup != nil {
		r.look(ctx)
	}
	return err
}

// renewRestored has the hosts of restored members renew certificates by themselves as desired.
func (r *restoreRun) renewRestored(ctx context.Context, members []membership.Member) error {
	ctx, cancel := r.step(ctx)
	defer cancel()
	return r.renewOnHosts(ctx, members, r.formation.Owner)
}

// firstBackup makes a backup of the restored cluster through the first restored member. A failure is reported here and
// by the next plan, but does not fail the restore.
func (r *restoreRun) firstBackup(ctx context.Context) {
	if r.Cluster.Backup == nil {
		return
	}
	limit := noDeadline
	if deadline, bounded := ctx.Deadline(); bounded {
		limit = time.Until(deadline)
	}
	for _, m := range r.Cluster.Members {
		if !r.isRestored(m) {
			continue
		}
		r.Progress(fmt.Sprintf("back up the restored cluster through %s", m))
		status, err := ask[api.BackupStatus](ctx, r.run, m, api.OpRunNow, api.RunNowRequest{Owner: r.formation.Owner, Timeout: limit})
		switch {
		case err != nil:
			r.Progress(fmt.Sprintf("%s: no backup was made yet: %s", m, err))
		case status.Last != nil:
			r.Progress(fmt.Sprintf("%s: backup %s of revision %d", m, status.Last.Backup, status.Last.Revision))
		}
		return
	}
}

// isRestored tells whether a host carries a member of the restored cluster. A change of the cluster repairs the hosts
// that the restore left out.
func (r *restoreRun) isRestored(m membership.Member) bool {
	o := r.reports[m].Observation
	return o != nil && o.Marker != nil && strings.HasPrefix(o.Marker.Token, bootstrap.RestoreToken(r.Cluster.Restore, ""))
}

// handOver is the last thing that a create does: see run.handOver. By then its hosts no longer record a restore.
func (r *restoreRun) handOver(ctx context.Context) error {
	ctx, cancel := r.step(ctx)
	defer cancel()
	return inParallel(r.Cluster.Members, func(m membership.Member) error {
		if !r.isRestored(m) {
			return nil
		}
		o := r.reports[m].Observation
		f := r.formation
		f.Token = o.Marker.Token
		marker := r.Cluster.Marker(m, f, api.PhaseFormed)
		marker.ClusterID, marker.MemberID, marker.Store = o.Marker.ClusterID, o.Marker.MemberID, r.store(m)
		unit, err := r.Cluster.Unit(o.Facts.MemoryBytes)
		if err != nil {
			return err
		}
		request := api.ConfigureRequest{Marker: marker, Store: marker.Store, Flags: r.Cluster.Flags(m, f, bootstrap.StateExisting), Unit: unit}
		if err := r.write(ctx, m, request); err != nil {
			return fmt.Errorf("hand over %s: %w", m, err)
		}
		return nil
	})
}
