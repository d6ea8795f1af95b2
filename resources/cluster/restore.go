package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/exchange"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/health"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/refreshed"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/restore"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// restored returns the change that a restore makes, or its rollback, as the planner plans it.
func (c clusterModel) restored(state clusterModel, want desired, before map[string]memberModel, last refreshed.Reports, restoration membership.Restoration) change {
	ch := change{before: before, members: want.members, cluster: c.givenBy(c.clusterWith(want.members, want.stores), before, want.backup, want.pki), seen: last.Reports(), others: last.Others()}
	ch.cluster.Restore = restoration
	owner := state.Owner.ValueString()
	ch.plan, ch.err = plan.Restore(ch.cluster.Restoring(owner, false, ch.seen, last.At), ch.cluster.Spec)
	if ch.err == nil && !restoration.RollBack && slices.ContainsFunc(ch.plan.Steps, membership.Step.Signs) {
		ch.err = ch.seen.Clocks().MaySign(ch.cluster.Members)
	}
	if ch.err != nil || !restoration.RollBack {
		return ch
	}
	back := ch.plan.Steps
	ch.began = ch.cluster.Status(owner, undone(ch.seen), last.At)
	if ch.sign(want.pki, nil); ch.err == nil {
		ch.plan.Steps = append(back, ch.plan.Steps...)
	}
	return ch
}

// restoredBefore tells whether the hosts record that the desired restore is done, although the state does not know it.
// The configuration is fulfilled then. The result depends on state and configuration alone, as a plan requires.
func (c clusterModel) restoredBefore(state clusterModel, want desired, before map[string]memberModel, last refreshed.Reports, restoration membership.Restoration) bool {
	if restoration.Source == "" || restoration.RollBack || len(last.Members) == 0 || !addressesKnown(want.members) {
		return false
	}
	recorded := func(sha256 string) bool {
		restoration.SHA256 = sha256
		ch := c.restored(state, want, before, last, restoration)
		return ch.err == nil && len(ch.plan.Steps) == 0
	}
	is := restoration.SHA256
	if recorded(is) {
		return true
	}
	// A checksum that was added or removed later is that of the restored snapshot, unless the configuration gives up
	// the current cluster by its ID.
	var stored restore.Model
	if diags := state.Restore.As(context.Background(), &stored, basetypes.ObjectAsOptions{UnhandledNullAsEmpty: true}); diags.HasError() {
		return false
	}
	was := stored.SHA256.ValueString()
	if restoration.Overwrites == state.ClusterID.ValueString() || is != "" && was != "" && is != was {
		return false
	}
	return recorded(was) || recorded("")
}

// undone returns the reports of hosts as they are after a rollback of the restores that they record: their old members
// are there, and stopped.
func undone(seen bootstrap.Reports) bootstrap.Reports {
	before := bootstrap.Reports{}
	for m, report := range seen {
		if o := report.Observation; o != nil && o.Restore != nil {
			was := *o
			was.Marker, was.Flags, was.Restore = o.Restore.Marker, o.Restore.Flags, nil
			was.Unit.ActiveState, was.Unit.SubState, was.Unit.Process = "inactive", "dead", nil
			was.Unit.FileState = "disabled"
			if o.Restore.Enabled {
				was.Unit.FileState = "enabled"
			}
			was.Data.HasMember, was.Data.Log = o.Restore.Revision > 0, nil
			was.Guard, was.GuardCheck, was.Member = "", "", api.Member{}
			report.Observation = &was
		}
		before[m] = report
	}
	return before
}

// planRestore fills in what a restore does to a cluster, or refuses it. It returns the change, as far as the plan could
// work one out.
func (c *clusterModel) planRestore(ctx context.Context, state clusterModel, want desired, from startingPoint, restoration membership.Restoration) (ch change, diags diag.Diagnostics) {
	members, before, last := want.members, from.before, from.last
	if !restoration.RollBack {
		diags.Append(exchange.RefuseKeyless(want.pki, "A restore signs the certificates of its members.")...)
	}
	if !from.found {
		diags.AddError("The hosts have not been looked at", "A restore is planned from what the hosts are, and this state does not know it yet. Plan without -refresh=false.")
		return ch, diags
	}
	if !restoration.RollBack {
		c.ClusterID = types.StringUnknown()
	}
	if !c.plannable(ctx, members) || !value.Known(ctx, c.Restore) {
		diags.Append(exchange.RefuseKeyless(want.pki, signsUnseen)...)
		diags.Append(refuseOverwrite(last.Reports(), restoration)...)
		c.nothingKnown(state, members, before)
		diags.Append(c.setMembers(ctx, members)...)
		return ch, diags
	}
	ch = c.restored(state, want, before, last, restoration)
	if restoration.RollBack || ch.err != nil {
		diags.Append(c.foresee(ch, state)...)
		diags.Append(c.setMembers(ctx, members)...)
		return ch, diags
	}
	for _, deferred := range ch.plan.Deferred {
		if deferred.HeldBack() {
			continue // of a cluster that is about to be stopped
		}
		diags.AddAttributeWarning(refusedAt(deferred), deferred.Summary, deferred.Error())
	}
	c.plansSteps(c.asked(ch, state), ch.plan.Steps)
	c.Endpoints = value.List(ch.cluster.Endpoints())
	c.Status, c.Alarms = types.StringValue(health.StatusHealthy), types.ListNull(types.StringType)
	for name, m := range members {
		m.ID, m.CertificateExpiresAt = types.StringUnknown(), types.StringUnknown()
		m.Health, m.Drift, m.EtcdVersion = types.StringValue(health.Healthy), types.ListNull(types.StringType), c.EtcdVersion
		m.PeerURL, m.ClientURL = types.StringValue(ch.cluster.PeerURL(m.member(name))), types.StringValue(ch.cluster.ClientURL(m.member(name)))
		members[name] = m
	}
	diags.Append(c.setMembers(ctx, members)...)
	return ch, diags
}

// refuseOverwrite refuses to give up a running cluster that the configuration does not name, if the plan cannot be made
// yet: Terraform may be about to destroy the cluster's hosts.
func refuseOverwrite(seen bootstrap.Reports, restoration membership.Restoration) (diags diag.Diagnostics) {
	for m, report := range seen {
		o := report.Observation
		if o == nil || o.Marker == nil || o.Restore != nil || !o.Member.Responding || o.Marker.ClusterID == restoration.Overwrites {
			continue
		}
		diags.AddAttributeError(path.Root("restore").AtName("overwrite_cluster_id"), "This plan is refused",
			fmt.Sprintf("A running cluster is on these hosts, %s on %s among them, and a restore discards all its data. If that is meant, set restore.overwrite_cluster_id = %q. No host was changed.", o.Marker.ClusterID, m, o.Marker.ClusterID))
		return diags
	}
	return nil
}

// restore carries out the planned restore. After a rollback it starts the old members again, as the plan has shown.
func (r *clusterResource) restore(ctx context.Context, config, plan clusterModel, ch change, authority authority.Model, owner string) (restored upgrade.Restored, err error) {
	hosts := ch.routes()
	executor, err := r.signing(ctx, ch.cluster, authority, "restore", hosts, ch.askedInVain, true)
	if err != nil {
		return restored, err
	}
	order := upgrade.RestoreOrder{Creating: owner == "", Members: hosts.Members()}
	if order.Formation, err = newFormation(ch.cluster.Name, r.providerData.Random); err != nil {
		return restored, err
	}
	if !order.Creating {
		order.Formation.Owner = owner
	}
	if !plan.Rollout.IsUnknown() && !order.Creating {
		order.Approved = append([]membership.Step{}, ch.plan.Steps...)
	}
	content, done, err := restore.ContentOf(ctx, config.Restore, ch.cluster.Backup)
	if err != nil {
		return restored, err
	}
	defer func() { err = errors.Join(err, done()) }()
	order.Content, order.Identity = content.Content, content.Identity
	restored, err = executor.Restore(ctx, order)
	if err == nil && ch.cluster.Restore.RollBack {
		back := restored.Done
		restored.Outcome, err = executor.Change(ctx, upgrade.Order{Owner: owner, Members: order.Members, Approved: order.Approved, Refuse: ch.refuse})
		restored.Done = append(back, restored.Done...)
	}
	if err != nil && ctx.Err() == nil { // what a step did before it failed is not seen yet
		restored.Reports = r.lookAgain(ctx, *executor, hosts, restored.Reports)
	}
	return restored, err
}
