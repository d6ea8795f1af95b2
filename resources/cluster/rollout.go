package cluster

import (
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/health"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// plansSteps sets the steps that the apply will take, and the purpose of the plan.
func (c *clusterModel) plansSteps(asked plan.Asked, steps []membership.Step) {
	c.Rollout, c.PlannedChange = stepList(steps), types.StringValue(string(asked.For(steps)))
}

// plansUnknownSteps leaves the steps of the plan to the apply.
func (c *clusterModel) plansUnknownSteps() {
	c.Rollout, c.PlannedChange = types.ListUnknown(types.StringType), types.StringUnknown()
}

// nothingKnown marks everything that depends on the hosts as known after apply.
func (c *clusterModel) nothingKnown(state clusterModel, members, before map[string]memberModel) {
	for name, m := range members {
		moves := !m.Address.Equal(before[name].Address)
		if moves || !c.PeerPort.Equal(state.PeerPort) {
			m.PeerURL = types.StringUnknown()
		}
		if moves || !c.ClientPort.Equal(state.ClientPort) {
			m.ClientURL = types.StringUnknown()
		}
		m.notKnown()
		members[name] = m
	}
	c.plansUnknownSteps()
	c.Endpoints = types.ListUnknown(types.StringType)
	c.Alarms, c.Status = types.ListUnknown(types.StringType), types.StringUnknown()
}

// keepPlaces has a plan know where its members are, and who they are as long as they are healthy and nothing is asked
// of them: the first phase of a rotation, whose authority is yet to be made, changes neither.
func (c *clusterModel) keepPlaces(members, before map[string]memberModel) {
	c.Endpoints = value.List(c.cluster(members).Endpoints())
	for name, m := range members {
		if old := before[name]; m.sameConfiguration(old) && old.Health.ValueString() == health.Healthy {
			m.ID = old.ID
			members[name] = m
		}
	}
}

// notKnown marks everything that is observed of a member as known after apply.
func (m *memberModel) notKnown() {
	m.ID, m.Health, m.CertificateExpiresAt, m.EtcdVersion = types.StringUnknown(), types.StringUnknown(), types.StringUnknown(), types.StringUnknown()
	m.Drift = types.ListUnknown(types.StringType)
}

// closeRollout moves the completed steps of an apply out of rollout. A plan shows the difference to the state: steps
// that are still in the state would show as removed, or not at all if the same step is to be done again.
func (c *clusterModel) closeRollout() {
	if len(c.Rollout.Elements()) > 0 {
		c.LastRollout = c.Rollout
	}
	c.plansSteps(plan.Asked{}, nil)
}

// asked returns what the configuration asks for beyond what was applied last.
func (c clusterModel) asked(ch change, state clusterModel) plan.Asked {
	return plan.Asked{
		Change:  ch.asksForChange(state) || c.changesOwn(state, ch.members, ch.before) || ch.changesBackup() || ch.changesRenewal() || ch.changesVersion(),
		Chains:  ch.rechains,
		Waits:   slices.ContainsFunc(ch.plan.Deferred, (*membership.Refusal).KeepsTrust),
		Restore: ch.cluster.Restore.Source != "",
	}
}

// changesBackup tells whether the configuration has other backup settings than were applied last. The state has no
// secrets, so the hosts tell: if one of them has the desired settings, the others have drifted.
func (ch change) changesBackup() bool {
	if ch.cluster.Backup == nil || ch.cluster.Backup.Digest == "" {
		return false
	}
	others := false
	for _, report := range ch.seen {
		if report.Observation == nil || report.Observation.Backup == nil {
			continue
		}
		switch report.Observation.Backup.Digest {
		case ch.cluster.Backup.Digest:
			return false
		case "": // the file is damaged
		default:
			others = true
		}
	}
	return others
}

// changesRenewal tells whether the configuration has hosts renew certificates otherwise than was applied last, in the
// same way.
func (ch change) changesRenewal() bool {
	others := false
	for _, report := range ch.seen {
		switch o := report.Observation; {
		case o == nil || o.Marker == nil || o.Renewal != nil && o.Renewal.Damaged:
		case ch.cluster.RenewsAs(o.Renewal):
			return false
		default:
			others = true
		}
	}
	return others
}

// changesVersion tells whether a member runs another version of etcd than is desired. Drift does not cause that: the
// version comes from an interrupted upgrade or downgrade, and whoever approves upgrades decides whether to continue or
// to revert it.
func (ch change) changesVersion() bool {
	for _, report := range ch.seen {
		if o := report.Observation; o != nil && o.Member.Responding && o.Member.Version != "" && o.Member.Version != ch.cluster.Version {
			return true
		}
	}
	return false
}

// pends tells whether a plan leaves anything about the members to the apply, e.g. because a host could not be reached,
// or shows that a renewal waits by leaving open until when certificates hold.
func (ch change) pends() bool {
	for _, m := range ch.members {
		if m.Health.IsUnknown() || m.CertificateExpiresAt.IsUnknown() {
			return true
		}
	}
	return false
}

// warnUsedUp warns that recover_from or restore does nothing, and says what to do about it: in an emergency, nobody
// should have to find out why a plan advises what the configuration already says.
func (c clusterModel) warnUsedUp(ch change, state clusterModel) (diags diag.Diagnostics) {
	warn := func(text string) {
		diags.AddAttributeWarning(path.Root("recover_from"), "recover_from does nothing", text)
	}
	advises := func(what string) bool { return ch.err != nil && strings.Contains(ch.err.Error(), what) }
	if !c.Restore.IsNull() && c.Restore.Equal(state.Restore) && advises("restore a snapshot") {
		diags.AddAttributeWarning(path.Root("restore"), "restore does nothing", "It is the same as at the last apply, and an apply restores once. If you mean this emergency, name the snapshot to restore now, or change restore.triggers to restore from the same place once more.")
	}
	recovers := slices.ContainsFunc(ch.plan.Steps, func(s membership.Step) bool { return s.Kind == membership.Recover })
	switch {
	case c.RecoverFrom.IsNull():
	case !c.RecoverFrom.Equal(state.RecoverFrom):
		if ch.err == nil && !recovers {
			warn("A quorum can be had, and nobody is given up while that is so. Take recover_from out of the configuration: once it is applied, it does nothing any more, also where the quorum is lost later.")
		}
	case advises("recover_from"):
		warn("It is the same as at the last apply, and an apply recovers once. If you mean this emergency, take recover_from out of the configuration and apply, which changes no host; then put it back, name in it who is given up now, and plan again.")
	}
	return diags
}
