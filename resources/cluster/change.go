package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
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
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/restore"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// change is what a plan does to a running cluster.
type change struct {
	before, members map[string]memberModel // of the state, and as they are desired
	cluster         bootstrap.Cluster      // as it is desired
	seen            bootstrap.Reports
	at              time.Time                // at which certificates are checked
	others          providerdata.Routes      // to hosts that an earlier change has not come to its end on
	began           membership.ClusterStatus // what the plan begins with
	plan            plan.Plan
	err             error
	// refuse returns why the configuration's authorities cannot sign certificates of these steps, or nil.
	refuse       func([]membership.Step) error
	keyless      []string // the keys that the configuration leaves out
	mends        bool     // the configuration asks for no change of hosts
	exchanges    bool     // the configuration asks for other authorities than at the last apply
	reconfigures bool     // the configuration has members run otherwise than at the last apply
	rechains     bool     // the configuration asks for other chains above them
}

// desired is the result that a change aims at, apart from what the model itself holds.
type desired struct {
	members map[string]memberModel
	stores  providerdata.Stores
	pki     authority.Model
	backup  *api.Backup // with its secrets, which only a configuration has; nil: none
}

// planChange fills in the values that a plan of a running cluster shows. Settings of the provider's own, such as
// deletion_protection or a host key, change nothing on the hosts. looked is what the plan has seen of hosts that are
// new to the cluster. It returns the change, as far as the plan could work one out.
func (c *clusterModel) planChange(ctx context.Context, config, state clusterModel, stores providerdata.Stores, from startingPoint, looked ahead) (ch change, diags diag.Diagnostics) {
	diags.Append(from.authority.MustShow(state.PeerCACertificate.ValueString(), state.CACertificate.ValueString())...)
	if diags.Append(c.mustShow(ctx)...); diags.HasError() {
		return ch, diags
	}
	before, members, last := from.before, maps.Clone(from.members), from.last
	if config.DataDir.IsNull() {
		c.DataDir = state.DataDir
	}
	// Values that cannot change are assumed to be those of the state. If one turns out to be different, the apply
	// refuses it before it begins.
	c.Name, c.DataDir = value.OrBefore(c.Name, state.Name), value.OrBefore(c.DataDir, state.DataDir)
	c.keepObserved(state)
	c.exchange(from.authority, state)
	diags.Append(c.checkAbandoned(before, last)...)
	diags.Append(c.refuseChanges(state)...)
	diags.Append(from.wrong()...)
	asked, restoration, backup := from.recovery, from.restoration, from.backup
	newBackup := !c.Backup.Equal(state.Backup)
	if restoration.Source != "" && members != nil {
		diags.Append(c.chooseVersion(state, stores)...)
		if !diags.HasError() && c.restoredBefore(state, desired{members, stores, from.authority, backup}, before, last, restoration) {
			diags.AddAttributeWarning(path.Root("restore"), "Nothing is restored", fmt.Sprintf("This cluster was made from %s already, as its hosts record. "+
				"The apply notes in the state what restore says now, and restores nothing. To restore it once more, change restore.triggers.", restoration.Source))
			restoration = membership.Restoration{}
		}
		if !diags.HasError() && restoration.Source != "" {
			diags.Append(restore.CheckSource(ctx, c.Restore)...)
		}
		if !diags.HasError() && restoration.Source != "" {
			c.takeOver(members, before)
			ch, d := c.planRestore(ctx, state, desired{members, stores, from.authority, backup}, from, restoration)
			return ch, append(diags, d...)
		}
		if diags.HasError() || restoration.Source != "" {
			return ch, diags
		}
	}
	diags.Append(refuseTaken(members, before)...)
	if diags.HasError() {
		return ch, diags
	}
	seen := last.Reports()
	maps.Copy(seen, looked.moved)
	diags.Append(refuseMoves(members, afterRecovery(before, asked), c.moves(c.clusterWith(members, stores), before, state, seen))...)
	diags.Append(c.chooseVersion(state, stores)...)
	if !c.ClientPort.IsUnknown() && !c.PeerPort.IsUnknown() && !c.MetricsPort.IsUnknown() {
		if err := c.clusterWith(members, stores).Located().RefusePorts(state.cluster(before), seen); err != nil {
			refusePlan(&diags, err)
		}
	}
	if diags.HasError() {
		return ch, diags
	}
	c.takeOver(members, before)
	if !c.plannable(ctx, members) || !rebuildsKnown(members) || c.CACertificate.IsUnknown() || c.PeerCACertificate.IsUnknown() ||
		newBackup && !backups.AllKnown(config.Backup, backup) || from.authority.OpenOnHosts() {
		c.nothingKnown(state, members, before)
		if c.plannable(ctx, members) && rebuildsKnown(members) && asked.Member == "" {
			c.keepPlaces(members, before)
		}
		diags.Append(exchange.RefuseKeyless(from.authority, signsUnseen)...)
		diags.Append(c.setMembers(ctx, members)...)
		return ch, diags
	}
	diags.Append(c.warnAbandoned(last)...)
	ch = c.changed(state, desired{members, stores, from.authority, backup}, before, last, asked)
	ch.rechains = from.rechained
	switch {
	case !from.found && (ch.asksForChange(state) || newBackup):
		diags.AddError("The hosts have not been looked at", "This change is planned from what the hosts are, and this state does not know it yet. Plan without -refresh=false.")
		return ch, diags
	case !from.found:
		if asked := c.asked(ch, state); asked.Change {
			c.plansSteps(asked, nil)
			c.mayAskForNothing(ctx)
		}
		diags.Append(c.setMembers(ctx, members)...)
		return change{}, diags
	case len(ch.unseen()) > 0:
		diags.Append(c.foreseeUnfinished(ch, state, looked)...)
		c.nothingKnown(state, members, before)
	case len(looked.moved)+len(looked.back) > 0:
		diags.Append(c.foreseeFound(ch, state, looked)...)
		c.nothingKnown(state, members, before)
	case looked.open || ch.reachesAnew() || ch.ordersByUnknownZones():
		c.nothingKnown(state, members, before)
	default:
		diags.Append(c.foresee(ch, state)...)
		diags.Append(c.warnUsedUp(ch, state)...)
		c.mayAskForNothing(ctx)
	}
	if c.Rollout.IsUnknown() {
		diags.Append(exchange.RefuseKeyless(from.authority, signsUnseen)...)
	}
	diags.Append(c.setMembers(ctx, members)...)
	return ch, diags
}

// signsUnseen is why a plan needs keys that cannot show its steps.
const signsUnseen = "What this plan does is known after apply, and may sign certificates."

// changed returns the change from the state to the model, as the planner plans it.
func (c clusterModel) changed(state clusterModel, want desired, before map[string]memberModel, last refreshed.Reports, asked membership.Recovery) change {
	ch := change{before: before, members: want.members, cluster: c.givenBy(c.clusterWith(want.members, want.stores), before, want.backup, want.pki), seen: last.Reports(), at: last.At, others: last.Others()}
	ch.cluster.Recover, ch.cluster.Acknowledged = asked, last.Acknowledged
	ch.cluster.Rebuild, ch.cluster.Signers, ch.cluster.Chains = rebuilds(want.members, before), want.pki.Signers(), want.pki.Chains()
	was := state.cluster(before)
	ch.exchanges = ch.cluster.PeerCA != was.PeerCA || ch.cluster.ClientCA != was.ClientCA
	changesRuns := !c.Backup.Equal(state.Backup) || ch.changesRenewal()
	ch.reconfigures = !c.Version.Equal(state.Version) || changesRuns || reconfigures(was, ch.cluster)
	ch.began = ch.cluster.Status(state.Owner.ValueString(), ch.seen, last.At)
	ch.mends = !ch.asksOfAll(state) && !changesRuns
	ch.sign(want.pki, c.asksToRenew(state, ch, last))
	return ch
}

// sign plans the change from what it begins with, as far as certificates can be signed: by the hosts' clocks, and by
// the keys that the configuration gives.
func (ch *change) sign(pki authority.Model, asked func(membership.MemberStatus) bool) {
	ch.keyless = pki.KeysLeftOut()
	ch.refuse = func(steps []membership.Step) error { return exchange.RefuseUnsigned(pki, steps) }
	ch.plan, ch.err = plan.ChangeSigning(ch.began, ch.cluster.Spec, plan.Signing{Asked: asked, Mends: ch.mends, Refuse: func(steps []membership.Step) error {
		if !slices.ContainsFunc(steps, membership.Step.Signs) {
			return nil
		}
		if err := ch.seen.Clocks().MaySign(ch.cluster.Members); err != nil {
			return err
		}
		return ch.refuse(steps)
	}})
	if len(ch.plan.Lacking) > 0 && len(ch.plan.Steps) == 0 { // nothing else is to be mended
		ch.plan, ch.err = plan.Plan{}, ch.plan.Unsigned
	}
}

// foresee fills in what the cluster is after the plan, or refuses the plan.
func (c *clusterModel) foresee(ch change, state clusterModel) (diags diag.Diagnostics) {
	asksForChange := ch.asksForChange(state)
	switch {
	case ch.err != nil && !asksForChange && c.changesOwn(state, ch.members, ch.before):
		c.plansSteps(c.asked(ch, state), nil)
		diags.AddWarning("This plan repairs no member", ch.err.Error())
		return diags
	case ch.err != nil:
		refusePlan(&diags, ch.err)
		return diags
	}
	for _, deferred := range ch.plan.Deferred {
		switch {
		case ch.asksOfAll(state) && !ch.mayWait(deferred):
			refusePlan(&diags, c.asking(deferred, state))
		case deferred.Summary == membership.LacksCertificate:
			diags.AddAttributeWarning(refusedAt(deferred), deferred.Summary, deferred.Error()+".\n\n"+ch.unsigned())
		case deferred.Waits:
			diags.AddAttributeWarning(refusedAt(deferred), "A repair has to wait", deferred.Error())
		default:
			diags.AddAttributeWarning(refusedAt(deferred), deferred.Summary, deferred.Error())
		}
	}
	if diags.HasError() {
		return diags
	}
	diags.Append(recovery.Warn(ch.plan.Steps, ch.cluster.Recover)...)
	diags.Append(ch.warnUnasked()...)
	diags.Append(ch.warnUnrevoked(state)...)
	c.Endpoints, c.Alarms, c.Status = value.List(ch.cluster.Endpoints()), health.Alarms(ch.plan.End), types.StringValue(health.Status(ch.plan.End))
	for _, s := range ch.plan.End.Members {
		if m, desired := ch.members[s.Name]; desired && s.Desired {
			if s.Invalid == "" && s.State == membership.Healthy {
				s.Invalid = ch.waits(s.Name)
			}
			m.foresee(s, ch)
			ch.members[s.Name] = m
			if m.Health.IsUnknown() {
				c.Status = types.StringUnknown()
			}
		}
	}
	// If there is nothing to plan, the state stays as it is, even if no refresh has closed its rollout.
	if asked := c.asked(ch, state); asked.For(ch.plan.Steps) != plan.PurposeNone || ch.pends() {
		c.plansSteps(asked, ch.plan.Steps)
	}
	return diags
}

// foresee fills in what a member is after the plan. The values of a member that is not healthy then stay unknown: the
// apply observes it again.
func (m *memberModel) foresee(s membership.MemberStatus, ch change) {
	m.PeerURL, m.ClientURL = types.StringValue(ch.cluster.PeerURL(s.Member)), types.StringValue(ch.cluster.ClientURL(s.Member))
	m.Health, m.Drift = types.StringValue(health.Of(s)), health.Drift(s)
	if health.Of(s) != health.Healthy {
		m.notKnown()
		return
	}
	m.EtcdVersion = types.StringValue(s.Version)
	if ch.alerts(s.Member) {
		m.CertificateExpiresAt = types.StringUnknown()
	}
	for _, step := range ch.plan.Steps {
		if step.Subject() != s.Member {
			continue
		}
		switch step.Kind {
		case membership.AddLearner, membership.Join, membership.Promote:
			m.ID, m.CertificateExpiresAt = types.StringUnknown(), types.StringUnknown()
		case membership.RenewCertificates, membership.Configure, membership.Readdress:
			m.CertificateExpiresAt = types.StringUnknown()
		}
	}
}

// unseen returns the desired members that etcd lists and that no observation has reached.
func (ch change) unseen() []string {
	var names []string
	for _, m := range ch.cluster.Members {
		if _, looked := ch.seen[m]; !looked && ch.lists(ch.cluster.PeerURL(m)) {
			names = append(names, m.String())
		}
	}
	return names
}

// lists tells whether a member's own list has a peer URL.
func (ch change) lists(peerURL string) bool {
	for _, report := range ch.seen {
		if report.Observation == nil {
			continue
		}
		for _, entry := range report.Observation.Member.Members {
			if slices.Contains(entry.PeerURLs, peerURL) {
				return true
			}
		}
	}
	return false
}

// routes returns how to reach every host that the change may touch. The desired members take precedence over the state.
func (ch change) routes() providerdata.Routes {
	return ch.others.And(routesTo(ch.before)).And(routesTo(ch.members))
}

// reachesAnew tells whether a host that could not be reached is to be reached by other settings now.
func (ch change) reachesAnew() bool {
	was := ch.others.And(routesTo(ch.before))
	for m, target := range routesTo(ch.members) {
		if old, known := was[m]; known && ch.seen[m].Err != nil && target != old {
			return true
		}
	}
	return false
}

// takesHosts tells whether an apply has to observe the hosts: the plan has steps, leaves something to the apply, or
// changes the way to a host.
func (c clusterModel) takesHosts(ch change, members map[string]memberModel) bool {
	return c.Rollout.IsUnknown() || len(ch.plan.Steps) > 0 || ch.reroutes() ||
		slices.ContainsFunc(slices.Collect(maps.Values(members)), func(m memberModel) bool { return m.Health.IsUnknown() })
}

// asksForChange tells whether the configuration asks something else of the hosts than at the last apply.
func (ch change) asksForChange(state clusterModel) bool {
	return ch.asksOfAll(state) || ch.revokesOthers(state)
}

// asksOfAll tells whether it asks something that is done to every member that it concerns, or refused.
func (ch change) asksOfAll(state clusterModel) bool {
	was := state.cluster(ch.before)
	is := ch.cluster
	return !slices.Equal(is.Members, was.Members) || is.Version != was.Version || is.Recover.Member != "" || is.Restore.Source != "" || len(is.Rebuild) > 0 ||
		is.Firewall != was.Firewall || reconfigures(was, is)
}

// reconfigures tells whether members are to run otherwise than they were, apart from etcd's version: a provider may
// bring a newer patch of that by itself.
func reconfigures(was, is bootstrap.Cluster) bool {
	return !maps.Equal(is.Settings, was.Settings) || !slices.Equal(is.ServerNames, was.ServerNames) ||
		is.ClientPort != was.ClientPort || is.PeerPort != was.PeerPort || is.MetricsPort != was.MetricsPort ||
		is.Renewal != was.Renewal || is.PeerName != was.PeerName || (is.ClientCRL == "") != (was.ClientCRL == "") || is.PeerCA != was.PeerCA || is.ClientCA != was.ClientCA
}

// fillInAuthorities fills in the authorities that were unknown to the plan of this apply. It refuses authorities other
// than the planned ones, since an ephemeral value may have changed meanwhile.
func (c *clusterModel) fillInAuthorities(pki authority.Model) (diags diag.Diagnostics) {
	planned := *c
	c.exchange(pki, planned)
	if !planned.PeerCACertificate.IsUnknown() && !c.PeerCACertificate.Equal(planned.PeerCACertificate) ||
		!planned.CACertificate.IsUnknown() && !c.CACertificate.Equal(planned.CACertificate) {
		diags.AddAttributeError(path.Root("pki"), "The authorities are not those that were planned", "Since the plan, pki has come to hold other authorities. No host was changed. Plan again.")
	}
	return diags
}

// exchange sets the authorities that members are to trust to those of the configuration. If they are the same
// certificates, the text in the state stays.
func (c *clusterModel) exchange(pki authority.Model, state clusterModel) {
	peers, clients := pki.Bundles()
	if !authority.Same(peers, state.PeerCACertificate) {
		c.PeerCACertificate = peers
	}
	if !authority.Same(clients, state.CACertificate) {
		c.CACertificate = clients
	}
}

// keepObserved takes over what was observed, and the steps that were done last.
func (c *clusterModel) keepObserved(state clusterModel) {
	c.ClusterID, c.Endpoints = state.ClusterID, state.Endpoints
	c.CACertificate, c.PeerCACertificate = state.CACertificate, state.PeerCACertificate
	c.Status, c.Alarms, c.Owner = state.Status, state.Alarms, state.Owner
	c.Rollout, c.LastRollout, c.PlannedChange = state.Rollout, state.LastRollout, state.PlannedChange
	c.BackupStatus = state.BackupStatus
}

// takeOver keeps what was observed of every member.
func (c *clusterModel) takeOver(members, before map[string]memberModel) {
	for name, m := range members {
		m.keepObserved(before[name])
		members[name] = m
	}
}

// keepObserved takes over what was observed of a member. A new member has nothing to take over.
func (m *memberModel) keepObserved(state memberModel) {
	if state.Address.IsNull() {
		m.notKnown()
		m.PeerURL, m.ClientURL = types.StringUnknown(), types.StringUnknown()
		return
	}
	m.ID, m.Health, m.CertificateExpiresAt = state.ID, state.Health, state.CertificateExpiresAt
	m.Drift, m.EtcdVersion = state.Drift, state.EtcdVersion
	m.PeerURL, m.ClientURL = state.PeerURL, state.ClientURL
}

// mayAskForNothing marks the plan's purpose as unknown if it depends on unknown values, which may turn out to be
// unchanged.
func (c *clusterModel) mayAskForNothing(ctx context.Context) {
	if !value.Known(ctx, c.DeletionProtection, c.PurgeData, c.PreflightAtPlan, c.Preflight, c.HoldRestarts, c.AbandonOnDestroy, c.Timeouts) {
		c.PlannedChange = types.StringUnknown()
	}
}

// changesOwn tells whether a setting changes that concerns Terraform and the provider alone, and no host.
func (c clusterModel) changesOwn(state clusterModel, members, before map[string]memberModel) bool {
	return !c.DeletionProtection.Equal(state.DeletionProtection) ||
		!c.PurgeData.Equal(state.PurgeData) ||
		!c.PreflightAtPlan.Equal(state.PreflightAtPlan) || !c.Preflight.Equal(state.Preflight) || !c.HoldRestarts.Equal(state.HoldRestarts) ||
		!c.AbandonOnDestroy.Equal(state.AbandonOnDestroy) ||
		!c.RecoverFrom.Equal(state.RecoverFrom) ||
		!c.Restore.Equal(state.Restore) ||
		!c.Backup.Equal(state.Backup) ||
		!c.Timeouts.Equal(state.Timeouts) ||
		!c.Version.Equal(state.Version) ||
		!c.Settings.Equal(state.Settings) || !c.ExtraFlags.Equal(state.ExtraFlags) ||
		!c.ExtraServerNames.Equal(state.ExtraServerNames) || !c.Certificates.Equal(state.Certificates) || !c.PeerCommonName.Equal(state.PeerCommonName) || !c.ClientCRL.Equal(state.ClientCRL) || !c.Firewall.Equal(state.Firewall) ||
		!maps.EqualFunc(members, before, memberModel.sameConfiguration)
}

// sameConfiguration tells whether two members have the same configuration.
func (m memberModel) sameConfiguration(other memberModel) bool {
	return m.Address.Equal(other.Address) && m.HostKey.Equal(other.HostKey) && m.HostCA.Equal(other.HostCA) &&
		m.SSHAddress.Equal(other.SSHAddress) && m.SSHPort.Equal(other.SSHPort) && m.SSHUser.Equal(other.SSHUser) && m.Zone.Equal(other.Zone) && m.Rebuild.Equal(other.Rebuild)
}

// rebuilds returns the names of the members to rebuild in place: those whose rebuild text has changed since the last
// apply. The hosts know which of them an interrupted apply has already rebuilt.
func rebuilds(members, before map[string]memberModel) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		m, was := members[name], before[name]
		if !was.Address.IsNull() && m.Rebuild.ValueString() != "" && !m.Rebuild.Equal(was.Rebuild) {
			names = append(names, name)
		}
	}
	return names
}
