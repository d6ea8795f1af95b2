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

// fetch has a member's host fetch the snapshot and verify it. A snapshot that an earlier run fetched is verified
// again, and fetched anew only if it is gone.
func (r *restoreRun) fetch(ctx context.Context, m membership.Member) error {
	request := api.FetchRequest{DataDir: r.Cluster.DataDir, SHA256: r.Cluster.Restore.SHA256, MinorVersion: membership.Minor(r.Cluster.Version), Identity: r.order.Identity, Owner: r.order.Formation.Owner}
	o := r.reports[m].Observation
	if o.Marker != nil {
		request.Owner = o.Marker.Owner
	}
	if recordedSnapshot := r.recordedSnapshot(); recordedSnapshot != "" {
		there := request
		there.SHA256, there.Source = recordedSnapshot, api.Source{Path: api.FetchedSnapshot(r.Cluster.DataDir, recordedSnapshot)}
		fetched, err := ask[api.Snapshot](ctx, r.run, m, api.OpFetch, there)
		if err == nil || !failureKnown(err) {
			return r.noteFetched(m, fetched, err)
		}
		if r.anyRestored() { // a different snapshot would make a different cluster
			request.SHA256 = recordedSnapshot
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
		err = errors.New("no source of the snapshot is given")
	}
	return r.noteFetched(m, fetched, err)
}

// recordedSnapshot returns the SHA-256 of the snapshot that hosts record for this restore, or "". Hosts that were
// already restored take precedence.
func (r *restoreRun) recordedSnapshot() string {
	recordedSnapshot := ""
	for _, s := range r.status.Members {
		same := s.Stage != membership.Untouched && s.Source == r.Cluster.Restore.Source
		if same && (recordedSnapshot == "" || !s.Stage.Before(membership.Restored)) {
			recordedSnapshot = s.Snapshot
		}
	}
	return recordedSnapshot
}

// anyRestored tells whether any host was restored.
func (r *restoreRun) anyRestored() bool {
	for _, s := range r.status.Members {
		if plan.Restored(s) {
			return true
		}
	}
	return false
}

// noteFetched records what a host has fetched.
func (r *restoreRun) noteFetched(m membership.Member, fetched api.Snapshot, err error) error {
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
	// A store that does not know this call keeps nothing of an interrupted upload.
	asked := api.ArrivedRequest{DataDir: request.DataDir, SHA256: about.SHA256}
	if arrived, err := call[api.Arrived](ctx, r.host(m), r.storeToCall(m), api.OpArrived, r.Cluster.Name, "", asked); err == nil && arrived.Bytes <= about.SizeBytes {
		request.From = arrived.Bytes
	}
	if _, err := io.CopyN(io.Discard, content, request.From); err != nil {
		return fetched, fmt.Errorf("skip the part of the snapshot that %s already has: %w", m, err)
	}
	body, err := json.Marshal(secret.Revealed(request))
	if err != nil {
		return fetched, fmt.Errorf("encode %s: %w", api.OpFetch, err)
	}
	envelope := api.Request{Version: api.Version, Operation: api.OpFetch, Cluster: r.Cluster.Name, Holder: r.Holder.ID, Target: r.target(m), Body: body}
	defer r.touch(m)
	err = r.host(m).Upload(ctx, r.storeToCall(m), envelope, io.LimitReader(content, about.SizeBytes-request.From), &fetched)
	return fetched, err
}
