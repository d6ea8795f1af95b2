package upgrade

import (
	"context"
	"encoding/json"
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
	body, err := json.Marshal(api.SendBackupRequest{Name: name})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", api.OpSendBackup, err)
	}
	request := api.Request{Version: api.Version, Operation: api.OpSendBackup, Cluster: r.Cluster.Name, Body: body}
	open, err := r.order.Content.Kept.Receive(func(to io.Writer) error {
		return r.Hosts[from].Download(ctx, "", request, to, &api.Done{})
	})
	if err != nil {
		return nil, fmt.Errorf("receive backup %s from %s (%s): %w", name, from.Name, from.Address, err)
	}
	return open, nil
}
