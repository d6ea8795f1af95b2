package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// fetch has a member's host bring the snapshot onto itself and verify it. What an earlier run has brought there is
// verified again, and only where it is not there any more is it brought anew.
func (r *restoreRun) fetch(ctx context.Context, m membership.Member) error {
	request := api.FetchRequest{DataDir: r.Cluster.DataDir, SHA256: r.Cluster.Restore.SHA256, Line: membership.Minor(r.Cluster.Version), Identity: r.order.Identity, Owner: r.order.Formation.Owner}
	o := r.reports[m].Observation
	if o.Marker != nil {
		request.Owner = o.Marker.Owner
	}
	if known := r.known(); known != "" {
		there := request
		there.SHA256, there.Source = known, api.Source{Path: api.FetchedSnapshot(r.Cluster.DataDir, known)}
		fetched, err := ask[api.Snapshot](ctx, r.run, m, api.OpFetch, there)
		if err == nil || !said(err) {
			return r.keep(m, fetched, err)
		}
		if r.begun() { // another one would be another cluster
			request.SHA256 = known
		}
	}
	var fetched api.Snapshot
	var err error
	switch content := r.order.Content; {
	case content.Open != nil:
		fetched, err = r.upload(ctx, m, request, content.Open)
	case content.Kept != nil:
		fetched, err = r.fetchKept(ctx, m, request)
	case content.Remote != nil:
		request.Source = *content.Remote
		fetched, err = ask[api.Snapshot](ctx, r.run, m, api.OpFetch, request)
	default:
		err = errors.New("nothing says where the snapshot is to be had from")
	}
	return r.keep(m, fetched, err)
}

// known is the SHA-256 of the snapshot that hosts record for this restore, those that were restored before the others; empty:
// none does.
func (r *restoreRun) known() string {
	known := ""
	for _, s := range r.status.Members {
		same := s.Stage != membership.Untouched && s.Source == r.Cluster.Restore.Source
		if same && (known == "" || !s.Stage.Before(membership.Restored)) {
			known = s.Snapshot
		}
	}
	return known
}

// begun tells whether any host was restored.
func (r *restoreRun) begun() bool {
	for _, s := range r.status.Members {
		if plan.Restored(s) {
			return true
		}
	}
	return false
}

// keep remembers what a host has fetched.
func (r *restoreRun) keep(m membership.Member, fetched api.Snapshot, err error) error {
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetched[m] = fetched
	r.result.Snapshot, r.result.Revision, r.result.Keys = fetched.SHA256, fetched.Revision, fetched.Keys
	r.Progress(fmt.Sprintf("%s: snapshot of revision %d with %d keys, sha256 %s", m, fetched.Revision, fetched.Keys, fetched.SHA256))
	return nil
}

// upload sends the snapshot to a member's host.
func (r *restoreRun) upload(ctx context.Context, m membership.Member, request api.FetchRequest, open Opener) (fetched api.Snapshot, err error) {
	content, about, err := open(ctx)
	if err != nil {
		return fetched, fmt.Errorf("open the snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	request.Source = api.Source{Upload: &about}
	// A store that does not know the question keeps nothing of an upload that was cut short.
	asked := api.ArrivedRequest{DataDir: request.DataDir, SHA256: about.SHA256}
	if arrived, err := call[api.Arrived](ctx, r.Hosts[m], r.storeToCall(m), api.OpArrived, r.Cluster.Name, "", asked); err == nil && arrived.Bytes <= about.SizeBytes {
		request.From = arrived.Bytes
	}
	if _, err := io.CopyN(io.Discard, content, request.From); err != nil {
		return fetched, fmt.Errorf("read the snapshot up to what %s has of it: %w", m, err)
	}
	body, err := json.Marshal(secret.Revealed(request))
	if err != nil {
		return fetched, fmt.Errorf("encode %s: %w", api.OpFetch, err)
	}
	envelope := api.Request{Version: api.Version, Operation: api.OpFetch, Cluster: r.Cluster.Name, Holder: r.Holder.ID, Target: r.target(m), Body: body}
	defer r.touch(m)
	err = r.Hosts[m].Upload(ctx, r.storeToCall(m), envelope, io.LimitReader(content, about.SizeBytes-request.From), &fetched)
	return fetched, err
}
