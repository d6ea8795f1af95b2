package cluster

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/exchange"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/health"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/recovery"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/refreshed"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/renewal"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/restore"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/settings"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// ModifyPlan sets planned values as a function of configuration and state alone. Terraform calls it again during the
// apply, in another process, and compares the results. So an observation of new hosts only refuses and warns.
func (r *clusterResource) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() {
		var state clusterModel
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
		resp.Diagnostics.Append(refuseProtected(state)...)
		resp.Diagnostics.Append(r.refuseDestroyed(ctx, state)...)
		resp.Diagnostics.Append(planLeaving(ctx, state, req.Private)...)
		resp.Diagnostics.Append(private.PlanDestroy(ctx, resp.Private)...)
		if !resp.Diagnostics.HasError() {
			resp.Diagnostics.Append(warnOfRemains(state)...)
		}
		return
	}
	var config, plan clusterModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &plan)...)
	if resp.Diagnostics.HasError() {
		return
	}
	var state clusterModel
	if !req.State.Raw.IsNull() {
		resp.Diagnostics.Append(req.State.Get(ctx, &state)...)
	}
	from, diags := plan.startingPoint(ctx, config, state, req.Private)
	resp.Diagnostics.Append(from.authority.Check()...)
	resp.Diagnostics.Append(from.authority.RefuseEphemeral(r.providerData.Ephemeral.Made)...)
	resp.Diagnostics.Append(from.authority.Wait(r.providerData.Now(), state.PeerCACertificate.ValueString(), state.CACertificate.ValueString())...)
	resp.Diagnostics.Append(plan.check(ctx)...)
	resp.Diagnostics.Append(plan.checkNames(from.authority, from.members)...)
	resp.Diagnostics.Append(plan.checkRevocations()...)
	resp.Diagnostics.Append(restore.Check(ctx, config.Restore, config.Backup)...) // a plan has no secrets
	dataDir := config.dataDir()
	if !req.State.Raw.IsNull() && config.DataDir.IsNull() { // one that was imported may have another than the default
		dataDir = state.DataDir.ValueString()
	}
	resp.Diagnostics.Append(backups.Check(ctx, config.Backup, dataDir)...)
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(diags...)
	}
	if resp.Diagnostics.HasError() {
		return
	}
	if req.State.Raw.IsNull() {
		resp.Diagnostics.Append(plan.planCreate(ctx, config, r.providerData.Stores, from)...)
		if !resp.Diagnostics.HasError() {
			seen, diags := r.lookAhead(ctx, plan, state, from)
			resp.Diagnostics.Append(diags...)
			resp.Diagnostics.Append(r.refuseCreated(plan, from.members, seen)...)
			resp.Diagnostics.Append(r.preflight(ctx, plan, state, from, seen, true)...)
			if !resp.Diagnostics.HasError() {
				resp.Diagnostics.Append(plan.warnBegun(ctx, from, seen.reports, r.providerData)...)
			}
			resp.Diagnostics.Append(warnZones(from.members, nil)...)
		}
	} else {
		r.providerData.Meet(state.Owner.ValueString())
		if resp.Diagnostics.Append(r.refuseUnfollowed(state, from)...); resp.Diagnostics.HasError() {
			return
		}
		seen, diags := r.lookAhead(ctx, plan, state, from)
		resp.Diagnostics.Append(diags...)
		ch, diags := plan.planChange(ctx, config, state, r.providerData.Stores, from, seen)
		resp.Diagnostics.Append(diags...)
		if !resp.Diagnostics.HasError() && plan.needsAuthorities(ch) {
			resp.Diagnostics.Append(from.authority.MaySign(r.providerData.Now())...)
		}
		if !resp.Diagnostics.HasError() {
			resp.Diagnostics.Append(r.preflight(ctx, plan, state, from, seen, plan.maySign(ch, from, seen))...)
			resp.Diagnostics.Append(warnZones(from.members, from.before)...)
			resp.Diagnostics.Append(plan.warnOfExpiry(ctx, from, ch, r.providerData.Now())...)
		}
		if resp.Diagnostics.HasError() {
			resp.Diagnostics.Append(warnWhoDestroys(config, state)...)
		}
	}
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(renewal.CheckAuthorities(plan.Certificates, plan.PeerCACertificate, plan.CACertificate, from.authority.Above(), r.providerData.Now())...)
		resp.Diagnostics.Append(plan.checkRenewalOnHosts(from.authority)...)
	}
	if !resp.Diagnostics.HasError() {
		resp.Diagnostics.Append(resp.Plan.Set(ctx, &plan)...)
	}
}

// startingPoint is what a plan or an apply starts from, read once from Terraform's values.
type startingPoint struct {
	authority authority.Model
	members   map[string]memberModel // as they are desired; nil: which there are is not known
	before    map[string]memberModel // of the state; nil: there is none yet
	last      refreshed.Reports      // the last look at the hosts
	found     bool                   // the state keeps one
	rechained bool                   // the configuration has other chains above its authorities than at the last apply

	recovery    membership.Recovery    // what the configuration asks for beyond what the state says was done
	restoration membership.Restoration // the same
	backup      *api.Backup            // with its secrets, which only a configuration has; nil: none

	// What is wrong with these values. Reading continues nevertheless: a plan may have to report other things first,
	// and a create does not look at what is restored before it knows where.
	wrongRecovery, wrongRestoration, wrongBackup diag.Diagnostics
}

// startingPoint reads what the plan or the apply of a configuration starts from. state is the zero model if there is
// none.
func (c clusterModel) startingPoint(ctx context.Context, config, state clusterModel, private private.State) (from startingPoint, diags diag.Diagnostics) {
	from.authority, diags = authority.From(ctx, config.PKI)
	var d diag.Diagnostics
	from.members, d = c.memberModels(ctx)
	diags.Append(d...)
	from.restoration, from.wrongRestoration = restore.Asked(ctx, c.Restore, state.Restore, c.Backup)
	from.backup, from.wrongBackup = backups.From(ctx, config.Backup, value.OrBefore(c.Name, state.Name).ValueString())
	if state.Owner.IsNull() {
		return from, diags
	}
	from.recovery, from.wrongRecovery = recovery.Asked(ctx, c.RecoverFrom, state.RecoverFrom, state.ClusterID)
	from.before, d = state.memberModels(ctx)
	diags.Append(d...)
	dropUnmanaged(from.before)
	from.last, from.found, d = refreshed.Last(ctx, private)
	diags.Append(d...)
	chains, d := exchange.LastChains(ctx, private)
	diags.Append(d...)
	if chains == nil {
		chains = exchange.LaidDown(from.authority, from.last.Reports())
	}
	from.rechained = exchange.ChainsOf(from.authority).DifferFrom(chains)
	return from, diags
}

// wrong returns everything that is wrong with the configuration.
func (s startingPoint) wrong() (diags diag.Diagnostics) {
	diags.Append(s.wrongRecovery...)
	diags.Append(s.wrongRestoration...)
	diags.Append(s.wrongBackup...)
	return diags
}

// planCreate fills in what a new cluster and its members will be. What cannot be known before the cluster exists stays
// unknown: tokens and IDs, and whatever follows from an unknown address.
func (c *clusterModel) planCreate(ctx context.Context, config clusterModel, stores providerdata.Stores, from startingPoint) (diags diag.Diagnostics) {
	members := from.members
	diags.Append(exchange.RefuseKeyless(from.authority, "Forming a cluster signs the certificates of its members.")...)
	diags.Append(c.checkAbandoned(nil, refreshed.Reports{})...)
	c.EtcdVersion = types.StringUnknown()
	if !c.Version.IsUnknown() {
		version, err := stores.Newest(c.Version.ValueString())
		if err != nil {
			diags.AddAttributeError(path.Root("version"), "The provider does not carry this version of etcd", err.Error())
			return diags
		}
		c.EtcdVersion = types.StringValue(version)
		diags.Append(settings.CheckExtraFlags(c.ExtraFlags, version)...)
	}
	if config.DataDir.IsNull() && !c.Name.IsUnknown() {
		c.DataDir = types.StringValue(api.DefaultDataDir(c.Name.ValueString()))
	}
	c.PeerCACertificate, c.CACertificate = from.authority.Bundles()
	c.ClusterID, c.Owner = types.StringUnknown(), types.StringUnknown()
	c.Status, c.Alarms = types.StringValue(health.StatusHealthy), types.ListNull(types.StringType)
	c.Endpoints, c.LastRollout = types.ListUnknown(types.StringType), types.ListNull(types.StringType)
	c.plansUnknownSteps()
	c.BackupStatus = types.ObjectNull(backups.StatusType())

	if members == nil || diags.HasError() {
		return diags
	}
	cluster := c.cluster(members)
	for name, m := range members {
		m.ID, m.CertificateExpiresAt = types.StringUnknown(), types.StringUnknown()
		m.Health, m.Drift, m.EtcdVersion = types.StringValue(health.Healthy), types.ListNull(types.StringType), c.EtcdVersion
		m.PeerURL, m.ClientURL = types.StringUnknown(), types.StringUnknown()
		member := membership.Member{Name: name, Address: m.Address.ValueString()}
		if !m.Address.IsUnknown() && !c.PeerPort.IsUnknown() {
			m.PeerURL = types.StringValue(cluster.PeerURL(member))
		}
		if !m.Address.IsUnknown() && !c.ClientPort.IsUnknown() {
			m.ClientURL = types.StringValue(cluster.ClientURL(member))
		}
		members[name] = m
	}
	diags.Append(c.setMembers(ctx, members)...)
	if addressesKnown(members) && !c.ClientPort.IsUnknown() {
		c.Endpoints = value.List(cluster.Endpoints())
	}
	diags.Append(from.wrongBackup...)
	if addressesKnown(members) && !c.EtcdVersion.IsUnknown() && backups.AllKnown(config.Backup, from.backup) && !from.authority.OpenOnHosts() && value.Known(ctx, c.Restore) {
		diags.Append(c.setRollout(ctx, from)...)
	}
	return diags
}

// setRollout sets the steps that form the cluster on bare hosts. A create is planned from these, since a plan observes
// no host.
func (c *clusterModel) setRollout(ctx context.Context, from startingPoint) (diags diag.Diagnostics) {
	if from.restoration.Source != "" || from.wrongRestoration.HasError() {
		diags.Append(from.wrongRestoration...)
		diags.Append(restore.CheckSource(ctx, c.Restore)...)
		cluster := c.cluster(from.members)
		cluster.Restore = from.restoration
		forming, err := plan.Restore(cluster.Restoring("", true, nil, time.Time{}), cluster.Spec)
		if err != nil {
			diags.AddAttributeError(refusedAt(err), "This cluster cannot be formed", err.Error())
		}
		c.plansSteps(plan.Asked{Create: true, Restore: true}, forming.Steps)
		return diags
	}
	spec, bare := c.givenBy(c.cluster(from.members), nil, from.backup, from.authority).Spec, membership.Observed{}
	for _, m := range spec.Members {
		bare[m.Name] = membership.Host{Claim: membership.Bare}
	}
	steps, err := bootstrap.Form(bare, spec)
	if err != nil {
		diags.AddAttributeError(refusedAt(err), "This cluster cannot be formed", err.Error())
		return diags
	}
	if last, needed := bootstrap.FormRenewals(bare, spec); needed {
		steps = append(steps, last)
	}
	c.plansSteps(plan.Asked{Create: true}, steps)
	return nil
}

// plannable tells whether everything is known that steps are planned from.
func (c clusterModel) plannable(ctx context.Context, members map[string]memberModel) bool {
	return addressesKnown(members) && value.Known(ctx, c.EtcdVersion, c.ClientPort, c.PeerPort, c.MetricsPort, c.Settings, c.ExtraFlags, c.ExtraServerNames, c.Certificates, c.PeerCommonName, c.ClientCRL, c.Firewall, c.HoldRestarts)
}

// rebuildsKnown tells whether the rebuild text of every member is known.
func rebuildsKnown(members map[string]memberModel) bool {
	return !slices.ContainsFunc(slices.Collect(maps.Values(members)), func(m memberModel) bool { return m.Rebuild.IsUnknown() })
}

// addressesKnown tells whether the address of every member is known.
func addressesKnown(members map[string]memberModel) bool {
	return !slices.ContainsFunc(slices.Collect(maps.Values(members)), func(m memberModel) bool { return m.Address.IsUnknown() })
}

// checkRenewalOnHosts refuses certificates that hosts could not renew in time.
func (c clusterModel) checkRenewalOnHosts(by authority.Model) diag.Diagnostics {
	says := renewal.Of(c.Certificates)
	onHosts, _ := by.OnHosts(c.Name.ValueString(), says.Validity, says.Before)
	if onHosts == nil || c.Certificates.IsUnknown() {
		return nil
	}
	return renewal.CheckOnHosts(onHosts)
}
