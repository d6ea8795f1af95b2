package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// keptBackup is a backup in the hosts' own directories.
type keptBackup struct {
	ListedBackup
	receiveOnce func() (Opener, error) // downloads it to this machine, once, when a host that lacks it needs it
}

// fetchKept has a member's host fetch the backup from its own directory, or sends the host another host's copy.
func (r *restoreRun) fetchKept(ctx context.Context, m membership.Member, request api.FetchRequest) (fetched api.Snapshot, err error) {
	kept, err := r.kept()
	if err != nil {
		return fetched, err
	}
	if request.SHA256 == "" { // all hosts restore the same backup, even if each has a different latest one
		request.SHA256 = kept.SHA256
	}
	if slices.Contains(kept.Seen, m) {
		request.Source = api.Source{Backup: kept.Name}
		return ask[api.Snapshot](ctx, r.run, m, api.OpFetch, request)
	}
	open, err := kept.receiveOnce()
	if err != nil {
		return fetched, err
	}
	return r.upload(ctx, m, request, open)
}

// findKept finds the desired backup in the directories of all hosts, desired or not. The latest one is known only if
// all hosts could be read.
func (r *restoreRun) findKept(ctx context.Context) (*keptBackup, error) {
	found := r.backups(ctx, ctx, r.order.Formation.Owner, r.members)
	name := r.order.Content.Kept.Name
	if name == api.LatestBackup && len(found.unread) > 0 {
		return nil, &membership.Refusal{Rule: "it is not known which backup is the latest: " + strings.Join(found.unread, "; "), Remedy: "fix that, or name the backup: restore.backup"}
	}
	i := slices.IndexFunc(found.list, func(b ListedBackup) bool { return b.Name == name || name == api.LatestBackup && !b.Foreign })
	if i < 0 {
		rule := fmt.Sprintf("no host has a backup %q of cluster %s", name, r.Cluster.Name)
		if why := append(found.none, found.unread...); len(why) > 0 {
			rule += " (" + strings.Join(why, "; ") + ")"
		}
		return nil, &membership.Refusal{Rule: rule, Remedy: "name one that data.etcd_backups lists, or copy it to where Terraform runs and name it by restore.file"}
	}
	if b := found.list[i]; b.Foreign {
		return nil, &membership.Refusal{
			Rule:   fmt.Sprintf("backup %q was made by another cluster of the name %s (its cluster ID is %s)", name, r.Cluster.Name, b.ClusterID),
			Remedy: "to restore it all the same, copy it to where Terraform runs and name it by restore.file",
		}
	}
	kept := &keptBackup{ListedBackup: found.list[i]}
	kept.receiveOnce = sync.OnceValues(func() (Opener, error) { return r.receive(ctx, kept.Seen[0], kept.Name) })
	return kept, nil
}

// receive downloads a backup from a member's host to this machine.
func (r *restoreRun) receive(ctx context.Context, from membership.Member, name string) (Opener, error) {
	open, err := r.order.Content.Kept.Receive(func(to io.Writer) error { return r.bring(ctx, from, name, to) })
	if err != nil {
		return nil, fmt.Errorf("receive backup %s from %s (%s): %w", name, from.Name, from.Address, err)
	}
	return open, nil
}

// bring downloads a backup. After a connection that broke it asks for the rest, as long as each brings something.
func (r *restoreRun) bring(ctx context.Context, from membership.Member, name string, to io.Writer) error {
	arrived := &arrived{to: to}
	for {
		before := arrived.bytes
		body, err := json.Marshal(api.SendBackupRequest{Name: name, From: before})
		if err != nil {
			return fmt.Errorf("encode %s: %w", api.OpSendBackup, err)
		}
		var sent api.Sent
		request := api.Request{Version: api.Version, Operation: api.OpSendBackup, Cluster: r.Cluster.Name, Body: body}
		err = r.host(from).Download(ctx, "", request, arrived, &sent)
		switch {
		case err == nil && sent.From != before:
			return fmt.Errorf("the connection broke after %d bytes, and the store of an earlier release cannot send the rest: apply again", before)
		case err == nil:
			return nil
		case arrived.bytes == before, arrived.failed, ctx.Err() != nil, errors.As(err, new(*api.Error)):
			return err
		}
		r.Progress(fmt.Sprintf("%s: %d bytes of backup %s have arrived, and the rest is asked for: %v", from, arrived.bytes, name, err))
	}
}

// arrived counts what is written to a writer.
type arrived struct {
	to     io.Writer
	bytes  int64
	failed bool // the writer has
}

func (a *arrived) Write(p []byte) (int, error) {
	n, err := a.to.Write(p)
	a.bytes, a.failed = a.bytes+int64(n), a.failed || err != nil
	return n, err
}
