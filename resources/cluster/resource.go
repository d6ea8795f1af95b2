// Package cluster implements etcd_cluster: what a configuration may say of a cluster, what a plan shows, and what an
// apply has the executor do.
package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/exchange"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/health"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/refreshed"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/renewal"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/restore"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/timeout"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

var (
	_ resource.ResourceWithConfigure      = (*clusterResource)(nil)
	_ resource.ResourceWithValidateConfig = (*clusterResource)(nil)
	_ resource.ResourceWithModifyPlan     = (*clusterResource)(nil)
)

// clusterResource is etcd_cluster.
type clusterResource struct {
	providerData *providerdata.Data
	carried      []string // versions of etcd that the reference names
}

// New returns the resource etcd_cluster for a provider that carries these versions of etcd.
func New(carried ...string) func() resource.Resource {
	return func() resource.Resource { return &clusterResource{carried: carried} }
}

// Metadata sets the name of the resource.
func (r *clusterResource) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_cluster"
	resp.ResourceBehavior.MutableIdentity = true // with the members
}

// Schema sets the schema.
func (r *clusterResource) Schema(ctx context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = clusterSchema(ctx, r.carried...)
}

// Configure takes over the provider's data.
func (r *clusterResource) Configure(_ context.Context, req resource.ConfigureRequest, resp *resource.ConfigureResponse) {
	r.providerData = providerdata.From(req.ProviderData, &resp.Diagnostics)
}

// ValidateConfig refuses a configuration that can never become a cluster. It leaves the authorities to the plan: a test
// of Terraform's that mocks etcd_pki validates whatever texts the mock has in their place.
func (r *clusterResource) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	var config clusterModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(config.check(ctx)...)
		resp.Diagnostics.Append(restore.Check(ctx, config.Restore, config.Backup)...)
		resp.Diagnostics.Append(backups.Check(ctx, config.Backup, config.dataDir())...)
	}
}

// Create forms the cluster, or continues an interrupted create. If it fails, it saves no state: Terraform would mark
// the resource as tainted, and destroy it in the next apply. The hosts record what was done, and the next create finds
// it there.
func (r *clusterResource) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var config, plan clusterModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	// Addresses of hosts that were created in this apply are known by now, and so is everything that follows from them.
	from, diags := plan.startingPoint(ctx, config, clusterModel{}, nil)
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(plan.planCreate(ctx, config, r.providerData.Stores, from)...)
	ctx, cancel := timeout.Bound(ctx, plan.Timeouts.Create, createTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(from.wrong()...)
	resp.Diagnostics.Append(restore.CheckSource(ctx, plan.Restore)...)
	if resp.Diagnostics.HasError() {
		return
	}
	members := from.members
	cluster := plan.givenBy(plan.clusterWith(members, r.providerData.Stores), nil, from.backup, from.authority)
	form := r.form
	if from.restoration.Source != "" {
		form = func(ctx context.Context, cluster bootstrap.Cluster, members map[string]memberModel, by authority.Model) (upgrade.Formed, error) {
			ch := change{members: members, others: providerdata.Routes{}, cluster: cluster}
			ch.cluster.Restore = from.restoration
			restored, err := r.restore(ctx, config, plan, ch, by, "")
			return upgrade.Formed{Owner: restored.Owner, Reports: restored.Reports, Unrenewed: restored.Unrenewed, Seen: restored.Seen}, err
		}
	}
	formed, err := form(ctx, cluster, members, from.authority)
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("Cluster %s was not formed", plan.Name.ValueString()), err.Error()+"\n\n"+howToGoOn(err))
		return
	}
	if formed.Unrenewed != nil {
		resp.Diagnostics.AddAttributeWarning(path.Root("pki"), "Hosts do not renew certificates by themselves yet", formed.Unrenewed.Error()+"\n\nThe next apply tells them once more.")
	}
	resp.Diagnostics.Append(plan.warnOfSeen(formed.Seen)...)
	resp.Diagnostics.Append(plan.formed(ctx, members, formed)...)
	resp.Diagnostics.Append(exchange.ChainsOf(from.authority).Keep(ctx, resp.Private)...)
	resp.Diagnostics.Append(plan.identify(ctx, resp.Identity)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// howToGoOn says what a user does about a failed create or change.
func howToGoOn(err error) string {
	if refusal := (*membership.Refusal)(nil); errors.As(err, &refusal) {
		if refusal.Outdated {
			return "This plan cannot be applied any more. A new one shows what is to be done from here."
		}
		return "Fix what stands in the way, and apply again."
	}
	return "What was done so far is kept on the hosts; apply again to go on from there."
}

// Read observes the hosts. It never drops a cluster from the state: hosts that do not answer, or no longer carry the
// cluster, are what the next plan has to show.
func (r *clusterResource) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var state clusterModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	state.closeRollout()
	r.providerData.Meet(state.Owner.ValueString())
	members, diags := state.memberModels(ctx)
	resp.Diagnostics.Append(diags...)
	looking, cancel := timeout.Bound(ctx, state.Timeouts.Read, readTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	dropUnmanaged(members)
	last, _, _ := refreshed.Last(ctx, req.Private) // one that is damaged is mended by this look
	hosts := last.Others().And(routesTo(members))
	executor, err := r.executor(ctx, state.clusterWith(members, r.providerData.Stores), "read", hosts, everybody)
	if errors.Is(err, providerdata.ErrNotKnown) {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Cluster %s could not be checked", state.Name.ValueString()), err.Error()+
			"\n\nThe plan is made from what the state says. Apply, and plan again to see how the hosts are.")
		resp.Diagnostics.Append(state.identify(ctx, resp.Identity)...)
		resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
		return
	}
	if err != nil {
		resp.Diagnostics.AddError("The hosts could not be checked", err.Error())
		return
	}
	executor.Patience, executor.Cluster.Acknowledged = startPatience, last.Acknowledged
	reports := executor.Observe(looking, hosts.Members())
	if ctx.Err() != nil {
		resp.Diagnostics.AddError("Interrupted", "The hosts were not all looked at; the state stays as it was.")
		return
	}
	seen, diags := state.observe(ctx, executor.Cluster, members, reports, hosts, moments{r.providerData.Now(), last.At})
	resp.Diagnostics.Append(diags...)
	state.BackupStatus, diags = backups.Watch(ctx, state.Backup, state.Name.ValueString(), reports, r.providerData.Now())
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(renewal.Watch(state.Certificates, state.Name.ValueString(), reports, r.providerData.Now())...)
	resp.Diagnostics.Append(state.warnOfAuthorities(reports, r.providerData.Now())...)
	resp.Diagnostics.Append(state.warnOfClocks(reports, executor.Cluster.Members)...)
	resp.Diagnostics.Append(seen.Acknowledging(last.Acknowledged).Keep(ctx, resp.Private)...)
	resp.Diagnostics.Append(state.identify(ctx, resp.Identity)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// Update makes the cluster what is desired if the plan has anything to do. If that fails, it saves the old
// configuration with the last observation, so that the next plan shows exactly what is left.
func (r *clusterResource) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var config, state, plan clusterModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	from, diags := plan.startingPoint(ctx, config, state, req.Private)
	resp.Diagnostics.Append(diags...)
	resp.Diagnostics.Append(from.wrong()...)
	working, cancel := timeout.Bound(ctx, plan.Timeouts.Update, updateTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	resp.Diagnostics.Append(plan.fillInAuthorities(from.authority)...)
	if resp.Diagnostics.HasError() {
		return
	}
	before, members, last, restoration := from.before, from.members, from.last, from.restoration
	want := desired{members: members, stores: r.providerData.Stores, pki: from.authority, backup: from.backup}
	if plan.restoredBefore(state, want, before, last, restoration) {
		restoration = membership.Restoration{}
	} else if restoration.Source != "" {
		resp.Diagnostics.Append(restore.CheckSource(ctx, plan.Restore)...)
		if resp.Diagnostics.HasError() {
			return
		}
	}
	ch := plan.changed(state, want, before, last, from.recovery)
	ch.rechains = from.rechained
	if restoration.Source != "" {
		ch = plan.restored(state, want, before, last, restoration)
	} else if !plan.takesHosts(ch, members) {
		if plan.PlannedChange.IsUnknown() {
			plan.PlannedChange = types.StringValue(string(plan.asked(ch, state).For(nil)))
		}
		for name, m := range members { // renewals wait, and nobody looks at the hosts
			m.fillIn(before[name])
			members[name] = m
		}
		resp.Diagnostics.Append(plan.setMembers(ctx, members)...)
		resp.Diagnostics.Append(exchange.ChainsOf(from.authority).Keep(ctx, resp.Private)...)
		resp.Diagnostics.Append(plan.identify(ctx, resp.Identity)...)
		resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
		return
	}
	var outcome upgrade.Outcome
	var err error
	if restoration.Source != "" {
		var restored upgrade.Restored
		restored, err = r.restore(working, config, plan, ch, from.authority, state.Owner.ValueString())
		outcome = restored.Outcome
		if plan.ClusterID.IsUnknown() {
			plan.ClusterID = types.StringValue(restored.ClusterID)
		}
	} else {
		outcome, err = r.change(working, plan, ch, from.authority, state.Owner.ValueString())
		if err == nil && ch.asksForChange(state) {
			asked := outcome
			asked.Deferred = ch.unforeseen(outcome.Deferred, state)
			err = health.LeftUndone(asked)
		}
	}
	resp.Diagnostics.Append(plan.warnOfSeen(outcome.Seen)...)
	if err == nil {
		if plan.Rollout.IsUnknown() {
			plan.Rollout = stepList(outcome.Done)
		}
		if plan.PlannedChange.IsUnknown() {
			plan.PlannedChange = types.StringValue(string(plan.asked(ch, state).For(outcome.Done)))
		}
		seen, diags := plan.concluded(ctx, ch, outcome, r.providerData.Now())
		resp.Diagnostics.Append(diags...)
		resp.Diagnostics.Append(seen.Acknowledging(last.Acknowledged, outcome.Acknowledged).Keep(ctx, resp.Private)...)
		resp.Diagnostics.Append(exchange.ChainsOf(from.authority).Keep(ctx, resp.Private)...)
	}
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("Cluster %s was not changed completely", plan.Name.ValueString()), err.Error()+"\n\n"+howToGoOn(err))
	}
	if resp.Diagnostics.HasError() {
		// An interrupted observation says nothing, and one by settings that are not saved says nothing about the
		// members.
		if working.Err() == nil && len(outcome.Reports) > 0 && (len(outcome.Done) > 0 || !ch.reroutes()) {
			cluster := state.clusterWith(before, r.providerData.Stores)
			cluster.Acknowledged = last.Acknowledged
			seen, diags := state.observe(ctx, cluster, before, outcome.Reports, ch.routes(), moments{now: r.providerData.Now()})
			resp.Diagnostics.Append(diags...)
			resp.Diagnostics.Append(seen.Acknowledging(last.Acknowledged, outcome.Acknowledged).Keep(ctx, resp.Private)...)
		}
		plan = state
		if len(outcome.Done) > 0 {
			plan.Rollout = stepList(outcome.Done)
		}
		plan.closeRollout()
	}
	resp.Diagnostics.Append(plan.identify(ctx, resp.Identity)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &plan)...)
}

// Delete removes the cluster from its hosts.
func (r *clusterResource) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var state clusterModel
	resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	planned, diags := private.TakeDestroyPlan(ctx, resp.Private)
	resp.Diagnostics.Append(diags...)
	if !resp.Diagnostics.HasError() && !planned {
		resp.Diagnostics.AddError(fmt.Sprintf("Cluster %s is not replaced", state.Name.ValueString()), refusedReplacement)
	}
	resp.Diagnostics.Append(refuseProtected(state)...)
	// The create may have met addresses only now, if they were not known before.
	resp.Diagnostics.Append(r.refuseDestroyed(ctx, state)...)
	members, diags := state.memberModels(ctx)
	resp.Diagnostics.Append(diags...)
	working, cancel := timeout.Bound(ctx, state.Timeouts.Delete, deleteTimeout, &resp.Diagnostics)
	defer cancel()
	if resp.Diagnostics.HasError() {
		return
	}
	dropUnmanaged(members)
	last, _, _ := refreshed.Last(ctx, req.Private) // without it the hosts of the state are left
	hosts := last.Others().And(routesTo(members))
	cluster := state.cluster(members)
	cluster.Members = hosts.Members() // those of a change that was cut short too
	seen := last.Reports()
	executor, err := r.executor(ctx, cluster, "delete", hosts, func(m membership.Member) bool { return seen[m].Err != nil })
	if err == nil {
		err = executor.Retire(working, plan.Retirement{Owner: state.Owner.ValueString(), Purge: state.PurgeData.ValueBool(), Abandons: state.abandonedMembers(hosts.Members(), last)})
	}
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("Cluster %s was not destroyed", state.Name.ValueString()), err.Error()+"\n\nDestroy again to go on.")
	}
}

// refusedReplacement says why Terraform may not replace a cluster.
const refusedReplacement = "Its destruction is one half of a replacement (terraform taint, -replace, or a provisioner that failed): " +
	"the cluster would be lost with all of its data, for another one that is empty. Nothing was changed. " +
	"Untaint it (terraform untaint), or plan without -replace; to be rid of the cluster, destroy it."

// becomesOfData says what a destroy does with the members' data.
func becomesOfData(state clusterModel) string {
	if state.PurgeData.ValueBool() {
		return "deletes their data, since purge_data is on"
	}
	return "moves their data aside, where it stays on the hosts"
}

// refuseProtected refuses to destroy a protected cluster.
func refuseProtected(state clusterModel) (diags diag.Diagnostics) {
	if state.DeletionProtection.ValueBool() {
		diags.AddAttributeError(path.Root("deletion_protection"), fmt.Sprintf("Cluster %s is protected", state.Name.ValueString()),
			"deletion_protection is on. To destroy the cluster, set it to false, apply, and destroy then: that takes the members off their hosts, and "+becomesOfData(state)+". Nothing was changed.")
	}
	return diags
}
