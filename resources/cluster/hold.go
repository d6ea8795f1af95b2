package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/refreshed"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/renewal"
)

// holdAttribute is the attribute that holds back restarts which only an upgrade of the provider asks for.
func holdAttribute() schema.BoolAttribute {
	return schema.BoolAttribute{
		Optional: true,
		MarkdownDescription: "Whether members that serve are left running where nothing but an upgrade of the provider asks for their restart: it carries a newer patch of etcd (unless `version` names that), or gives members another unit, or other flags among those " +
			"that it sets by itself. A plan warns of what is held back, and `drift` of the member has it. A member that is restarted for another reason gets all of it. Default: `false`: such restarts are rolled, and the plan says that the configuration does not ask for them.",
	}
}

// warnUnasked warns of members that are restarted for something that the configuration does not ask for.
func (ch change) warnUnasked() (diags diag.Diagnostics) {
	var names []string
	why := ""
	for _, step := range ch.plan.Steps {
		if s := ch.began.Member(step.Subject()); step.Kind == membership.Roll && s != nil && s.Unasked {
			names, why = append(names, s.String()), strings.Join(s.Outdated, ", ")
		}
	}
	if len(names) > 0 {
		diags.AddAttributeWarning(path.Root(membership.HoldRestarts), "This release of the provider restarts members",
			fmt.Sprintf("Nothing in the configuration of %s needs a restart by itself, and this release of the provider configures members otherwise than their hosts are (%s): "+
				"another release has set them up, or somebody has edited files on the hosts. The apply restarts them one by one, as rollout says. To leave them as they are for now, set hold_restarts = true.", strings.Join(names, ", "), why))
	}
	return diags
}

// mayWait tells whether a change is complete although this is left to do: members that a recovery gives up join once
// their hosts can be reached, and so does what only this build of the provider asks of the survivor; restarts that are
// held back wait for the configuration, authorities that an earlier apply was to remove may be removed later, an alarm
// that only a member which is away could disarm is none of the configuration's, and nor are renewals of which a host
// has lost the settings, where the configuration leaves them as they were.
func (ch change) mayWait(deferred *membership.Refusal) bool {
	return slices.Contains(ch.cluster.Recover.Abandons, deferred.Member) || deferred.WaitsForJoins() && !ch.reconfigures ||
		deferred.HeldBack() || deferred.StaysAlarmed() || deferred.LeavesRenewals() && !ch.changesRenewal() || deferred.KeepsTrust() && !ch.exchanges
}

// asksToRenew returns whether a member's certificates are due since the configuration asks for certificates that are
// valid for a shorter time than at the last apply. Such a change is done or refused, like any other.
func (c clusterModel) asksToRenew(state clusterModel, ch change, last refreshed.Reports) func(membership.MemberStatus) bool {
	if ch.cluster.Renewal.Validity == state.cluster(ch.before).Renewal.Validity {
		return nil
	}
	ofAnyLength := ch.cluster
	ofAnyLength.Renewal.Validity = 0
	status := ofAnyLength.Status(state.Owner.ValueString(), ch.seen, last.At)
	return func(s membership.MemberStatus) bool {
		m := status.Member(s.Member)
		return m == nil || m.Due != s.Due
	}
}

// alerts tells whether somebody has to see to a renewal that waits, so that the plan must not be empty. A configuration
// may leave keys out for as long as certificates hold, and give them for the renewal: that is late in the last week
// only. So is another authority, or another chain above it, where certificates end with these.
func (ch change) alerts(m membership.Member) bool {
	expires, known := expiry(ch.seen[m])
	late := known && renewal.InLastWeek(expires, ch.at)
	return ch.waits(m.Name) != "" && (late || !ch.lacksKeys()) || late && ch.exhausted(m) != ""
}

// exhausted returns which of a member's certificates ends with its authority or with one above that, so that no renewal
// is of use, or "".
func (ch change) exhausted(m membership.Member) string {
	if s := ch.began.Member(m); s != nil {
		return s.Exhausted
	}
	return ""
}

// needsAuthorities tells whether an apply may have certificates signed, or give hosts a chain: it begins only if the
// authorities of the configuration, and those above them, are valid. A stopped member is started whether they are or
// not, and so is a member that keeps its certificates given a list of revoked ones, or configured, since it has the
// chain already.
func (c clusterModel) needsAuthorities(ch change) bool {
	return c.Rollout.IsUnknown() || ch.cluster.Restore.Source != "" || slices.ContainsFunc(ch.plan.Steps, func(s membership.Step) bool {
		switch s.Kind {
		case membership.RenewCertificates, membership.Configure:
			return !s.Keeps || ch.rechains || strings.HasPrefix(s.Why, membership.OldChain)
		case membership.RenewOnHosts:
			return s.To != ""
		}
		return s.Signs()
	})
}

// waits returns why a member's certificates are due that the plan leaves as they are, or "".
func (ch change) waits(name string) string {
	for _, s := range ch.plan.Waiting {
		if s.Name == name {
			return s.Due
		}
	}
	return ""
}
