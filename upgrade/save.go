package upgrade

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// Save saves a snapshot through a healthy voter of the cluster, and writes it to to as it arrives. If s3 is set, the
// host uploads the snapshot instead, and to is not used. After an error the written content is of no use. Save changes
// no host and takes no lock: a snapshot does not disturb a change of the cluster.
func (e *Executor) Save(ctx context.Context, owner string, members []membership.Member, to io.Writer, s3 *api.S3) (membership.Member, api.Saved, error) {
	var saved api.Saved
	reports := e.Observe(ctx, members)
	from, err := snapshotSource(reports, owner)
	if err != nil {
		return from, saved, err
	}
	saved, err = e.download(ctx, from, api.SaveRequest{Owner: owner, S3: s3}, to)
	if err != nil {
		return from, saved, fmt.Errorf("save a snapshot of %s (%s): %w", from.Name, from.Address, err)
	}
	return from, saved, nil
}

const (
	// resumePatience is for how long the rest of a snapshot is asked for in vain. Its host keeps it for longer
	// (snapshots.KeptFor).
	resumePatience = 3 * time.Minute
	resumePause    = 5 * time.Second
)

// download has a member's host send a snapshot. After a connection that broke it asks for the rest of the same one. A
// store of an earlier release keeps none.
func (e *Executor) download(ctx context.Context, from membership.Member, r api.SaveRequest, to io.Writer) (api.Saved, error) {
	if r.S3 == nil {
		r.ID = e.Holder.ID
	}
	arrived := &arrived{to: to}
	var broken error
	for came := time.Now(); ; {
		r.From = arrived.bytes
		saved, err := e.save(ctx, from, r, arrived)
		var own *api.Error
		switch {
		case err == nil:
			return saved, nil
		case errors.As(err, &own) && own.Code == api.CodeUnsupported && r.ID != "" && r.From == 0:
			r.ID = ""
			continue
		case own != nil && broken != nil:
			return saved, fmt.Errorf("the connection broke after %d bytes, and the rest does not come: %w", arrived.bytes, errors.Join(own, broken))
		case own != nil, arrived.bytes == 0, r.ID == "", arrived.failed, ctx.Err() != nil, errors.As(err, new(*api.Barred)):
			return saved, err
		case arrived.bytes > r.From:
			came = time.Now()
		case time.Since(came) >= resumePatience:
			return saved, fmt.Errorf("%d bytes have arrived, and the rest was asked for in vain for %s: %w", arrived.bytes, resumePatience, err)
		}
		broken = err
		e.Progress(fmt.Sprintf("%s: %d bytes of the snapshot have arrived, and the rest is asked for: %v", from, arrived.bytes, err))
		if pause(ctx, resumePause) != nil {
			return saved, err
		}
	}
}

// save makes one call of a download.
func (e *Executor) save(ctx context.Context, from membership.Member, r api.SaveRequest, to io.Writer) (saved api.Saved, err error) {
	body, err := json.Marshal(secret.Revealed(r))
	if err != nil {
		return saved, fmt.Errorf("encode %s: %w", api.OpSave, err)
	}
	request := api.Request{Version: api.Version, Operation: api.OpSave, Cluster: e.Cluster.Name, Body: body}
	err = e.host(from).Download(ctx, "", request, to, &saved)
	return saved, err
}

// snapshotSource chooses the member to save a snapshot of: a voter through which a linearizable read has just
// succeeded, so that it has everything that was committed; one whose disk has room for the snapshot; a follower if
// there is one, since it is disturbed least; and of several the one that has applied the most.
func snapshotSource(reports bootstrap.Reports, owner string) (membership.Member, error) {
	type candidate struct {
		membership.Member
		cramped, leads bool
		applied        uint64
	}
	var able []candidate
	var why []string
	for m, report := range reports {
		if unable := unableToSave(report, owner); unable != "" {
			why = append(why, fmt.Sprintf("%s: %s", m, unable))
			continue
		}
		view := report.Observation.Member
		able = append(able, candidate{m, report.Observation.Data.Cramped, view.Leader == view.MemberID, view.AppliedIndex})
	}
	if len(able) == 0 {
		slices.Sort(why)
		return membership.Member{}, &membership.Refusal{Rule: "no healthy voter can save a snapshot (" + strings.Join(why, "; ") + ")",
			Remedy: "repair the cluster first: terraform plan of its etcd_cluster says how"}
	}
	best := slices.MinFunc(able, func(a, b candidate) int {
		return cmp.Or(membership.CompareTrue(a.cramped, b.cramped), membership.CompareTrue(a.leads, b.leads),
			cmp.Compare(b.applied, a.applied), strings.Compare(a.Name, b.Name))
	})
	return best.Member, nil
}

// notOwned returns why a host carries no member of this owner's cluster, or "" if it does.
func notOwned(report bootstrap.Report, owner string) string {
	o := report.Observation
	switch {
	case report.Err != nil:
		return bootstrap.WhyUnasked(report.Err) + ": " + report.Err.Error()
	case o == nil || o.Marker == nil:
		return "its host carries no such cluster"
	case o.Marker.Owner != owner:
		return fmt.Sprintf("its host carries a cluster %s that another state manages", o.Marker.Cluster)
	}
	return ""
}

// unableToSave returns why a member cannot save a snapshot, or "" if it can.
func unableToSave(report bootstrap.Report, owner string) string {
	if not := notOwned(report, owner); not != "" {
		return not
	}
	o := report.Observation
	switch {
	case o.Member.Learner:
		return "it is a learner"
	case o.Marker.ClusterID != "" && o.Member.ClusterID != "" && o.Marker.ClusterID != o.Member.ClusterID:
		return "it runs as a member of another cluster"
	case !o.Member.Responding:
		return "it does not answer"
	case !o.Member.Healthy:
		return "it serves no linearizable read"
	}
	return ""
}
