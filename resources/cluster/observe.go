package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/clocks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/exchange"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/health"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/refreshed"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/renewal"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// observe writes what was observed of the cluster into the model, and returns what the next plan needs of it. A host
// that could not be reached keeps what was last known of it, and a warning names it: unreachable is not missing.
// Besides the members' hosts, it keeps how to reach the hosts on which an interrupted change is unfinished.
func (c *clusterModel) observe(ctx context.Context, cluster bootstrap.Cluster, members map[string]memberModel, reports bootstrap.Reports, hosts providerdata.Routes, when moments) (kept refreshed.Reports, diags diag.Diagnostics) {
	status := plan.WithAuthorities(cluster.Status(c.Owner.ValueString(), reports, when.now))
	var unasked []membership.MemberStatus
	for _, s := range status.Members {
		m, known := members[s.Name]
		if !known || !s.Desired {
			continue
		}
		if s.State == membership.Unreachable {
			unasked = append(unasked, s)
		}
		m.observe(s, reports[s.Member].Observation)
		members[s.Name] = m
	}
	diags.Append(notAsked(c.Name.ValueString(), unasked, reports)...)
	for _, s := range status.Unmanaged {
		members[unmanagedKey(s, members)] = unmanagedModel(s)
	}
	if id := servedID(status, reports); id != "" {
		c.ClusterID = types.StringValue(id)
	}
	c.Status, c.Alarms = types.StringValue(health.Status(status)), health.Alarms(status)
	diags.Append(c.setMembers(ctx, members)...)
	at := when.since(status, reports, func(at time.Time) membership.ClusterStatus {
		return plan.WithAuthorities(cluster.Status(c.Owner.ValueString(), reports, at))
	})
	return refreshed.New(reports, cluster.Members, unfinished(status, hosts).And(secondWays(c.Owner.ValueString(), cluster, reports, hosts)), at), diags
}

// notAsked warns, once for all of them, of members whose hosts could not be asked.
func notAsked(cluster string, unasked []membership.MemberStatus, reports bootstrap.Reports) (diags diag.Diagnostics) {
	var said, ways []string
	for _, s := range unasked {
		said = append(said, fmt.Sprintf("%s: %s", s, reports[s.Member].Err))
		way := "Bring the host back, or the network to it, and apply again; if it is gone for good, give the member the address of another host. Where the configuration does so already, this plan replaces it"
		if s.Barred != "" { // nothing says that anything is wrong with the member
			way = strings.ToUpper(s.Why[:1]) + s.Why[1:] + ": the member may serve, and is not given up. To let the provider in, " + s.Barred + "; then plan again"
			if len(unasked) > 1 {
				way = fmt.Sprintf("%s: %s", s.Name, way)
			}
		}
		if !slices.Contains(ways, way) {
			ways = append(ways, way)
		}
	}
	at, title, kept := path.Root("members"), fmt.Sprintf("%d members of cluster %s could not be asked", len(unasked), cluster), "Nothing is done to them, and the state keeps what was last seen of them, but for their health."
	switch len(unasked) {
	case 0:
		return nil
	case 1:
		at, title = at.AtMapKey(unasked[0].Name), fmt.Sprintf("Member %s of cluster %s could not be asked", unasked[0].Name, cluster)
		kept = "Nothing is done to it, and the state keeps what was last seen of it, but for its health."
	}
	diags.AddAttributeWarning(at, title, fmt.Sprintf("%s\n\n%s %s.", strings.Join(said, "\n"), kept, strings.Join(ways, ". ")))
	return diags
}

// servedID returns the cluster ID that all healthy members report. It differs from the state's if a restore was
// completed by a run that could not save its result. It returns "" if no member is healthy, if the members disagree, or
// if a restore is under way.
func servedID(p membership.ClusterStatus, reports bootstrap.Reports) string {
	id := ""
	for _, s := range p.Healthy() {
		o := reports[s.Member].Observation
		if o == nil || o.Restore != nil || o.Marker == nil || id != "" && id != o.Member.ClusterID {
			return ""
		}
		id = o.Member.ClusterID
	}
	return id
}

// unfinished returns how to reach the hosts of members that are not desired and have not left completely. A host that
// cannot be reached, and whose member is in no list, is not kept, unless the list may be an old one that lacks it.
func unfinished(p membership.ClusterStatus, hosts providerdata.Routes) providerdata.Routes {
	left := providerdata.Routes{}
	for _, s := range p.Members {
		if target, known := hosts[s.Member]; known && !s.Desired && (s.Role != membership.Absent || s.Traces || s.Unlisted != "") {
			left[s.Member] = target
		}
	}
	return left
}

// secondWays returns how to reach, by other addresses, machines that carry a member. An apply has found these
// addresses, and the next plan needs them.
func secondWays(owner string, cluster bootstrap.Cluster, reports bootstrap.Reports, hosts providerdata.Routes) providerdata.Routes {
	ways := providerdata.Routes{}
	for m, target := range hosts {
		marker := reports[m].Marker()
		if marker != nil && marker.Owner == owner && marker.Member == m.Name && !slices.Contains(cluster.Members, m) {
			ways[m] = target
		}
	}
	return ways
}

// moments are the time of an observation, and the time that the previous one kept; the zero time if it kept none.
type moments struct{ now, before time.Time }

// since returns the time by which plans decide whether certificates are expired or due: the zero time if time makes no
// difference, or the time that was kept before as long as that gives the same result. So observations of an unchanged
// cluster are equal.
func (m moments) since(status membership.ClusterStatus, reports bootstrap.Reports, at func(time.Time) membership.ClusterStatus) time.Time {
	for _, before := range []time.Time{{}, m.before} {
		if sameCertificates(status, at(before)) && sameLastWeeks(reports, m.now, before) {
			return before
		}
	}
	return m.now.UTC().Truncate(time.Second) // certificates begin, end and become due at whole ones
}

// sameCertificates tells whether the certificates of all members are valid alike, and due alike.
func sameCertificates(a, b membership.ClusterStatus) bool {
	return slices.EqualFunc(a.Members, b.Members, func(a, b membership.MemberStatus) bool { return a.Invalid == b.Invalid && a.Due == b.Due })
}

// sameLastWeeks tells whether the same members' certificates are in their last week at both moments.
func sameLastWeeks(reports bootstrap.Reports, a, b time.Time) bool {
	for _, report := range reports {
		if expires, ok := expiry(report); ok && renewal.InLastWeek(expires, a) != renewal.InLastWeek(expires, b) {
			return false
		}
	}
	return true
}

// expiry returns when the first of the certificates expires that a report shows.
func expiry(report bootstrap.Report) (first time.Time, found bool) {
	if report.Observation == nil {
		return first, false
	}
	return firstExpiry(report.Observation.Certificates)
}

// observe writes what was observed of a member into its model.
func (m *memberModel) observe(s membership.MemberStatus, o *api.Observation) {
	m.Health, m.Drift = types.StringValue(health.Of(s)), health.Drift(s)
	if s.State == membership.Foreign || s.State == membership.Unreachable {
		return
	}
	if s.ID != "" {
		m.ID = types.StringValue(s.ID)
	}
	if s.Version != "" {
		m.EtcdVersion = types.StringValue(s.Version)
	}
	if o == nil {
		return
	}
	if expiry, ok := firstExpiry(o.Certificates); ok {
		m.CertificateExpiresAt = types.StringValue(expiry.UTC().Format(time.RFC3339))
	}
}

// firstExpiry returns when the first of a member's own certificates expires.
func firstExpiry(certificates map[string]api.Certificate) (first time.Time, found bool) {
	for _, key := range []string{api.KeyPeer, api.KeyServer, api.KeyAdmin} {
		leaf, err := cert.ParseLeaf([]byte(certificates[key].PEM))
		if err == nil && (!found || leaf.NotAfter.Before(first)) {
			first, found = leaf.NotAfter, true
		}
	}
	return first, found
}

// lifetime returns for how long the certificate is valid that expires at a time, of those that a report shows; 0: it
// shows none.
func lifetime(report bootstrap.Report, expires time.Time) time.Duration {
	if report.Observation == nil {
		return 0
	}
	for _, key := range []string{api.KeyPeer, api.KeyServer, api.KeyAdmin} {
		leaf, err := cert.ParseLeaf([]byte(report.Observation.Certificates[key].PEM))
		if err == nil && leaf.NotAfter.Truncate(time.Second).Equal(expires) {
			return leaf.NotAfter.Sub(leaf.NotBefore)
		}
	}
	return 0
}

// unmanagedModel returns the model of a member that etcd lists and no configuration names, so that a plan shows it.
func unmanagedModel(s membership.UnmanagedMember) memberModel {
	return memberModel{Address: types.StringValue(membership.HostOf(s.PeerURL)), ID: types.StringValue(s.ID), Health: types.StringValue(health.Unmanaged),
		Drift: types.ListNull(types.StringType), PeerURL: types.StringValue(s.PeerURL)}
}

// formed writes the result of a create into the model, where the plan left it unknown. Rollout stays as planned; if
// addresses were unknown then, it becomes what would have been planned with them.
func (c *clusterModel) formed(ctx context.Context, members map[string]memberModel, formed upgrade.Formed) (diags diag.Diagnostics) {
	c.Owner = types.StringValue(formed.Owner)
	for name, m := range members {
		o := formed.Reports[m.member(name)].Observation
		m.ID = types.StringValue(o.Member.MemberID)
		if expiry, ok := firstExpiry(o.Certificates); ok {
			m.CertificateExpiresAt = types.StringValue(expiry.UTC().Format(time.RFC3339))
		}
		members[name] = m
		c.ClusterID = types.StringValue(o.Member.ClusterID)
	}
	diags.Append(c.setMembers(ctx, members)...)
	return diags
}

// concluded writes the result of a change into the model, where the plan left it unknown. A result that differs from
// the plan is an error, since the plan has promised it.
func (c *clusterModel) concluded(ctx context.Context, ch change, outcome upgrade.Outcome, now time.Time) (kept refreshed.Reports, diags diag.Diagnostics) {
	seen, members, found := *c, ch.members, map[string]memberModel{}
	for name, m := range members {
		if m.PeerURL.IsUnknown() {
			m.PeerURL = types.StringValue(ch.cluster.PeerURL(m.member(name)))
		}
		if m.ClientURL.IsUnknown() {
			m.ClientURL = types.StringValue(ch.cluster.ClientURL(m.member(name)))
		}
		members[name] = m
		if old := ch.before[name]; old.Address.Equal(m.Address) { // what could not be seen stays as it was last seen
			m.keepObserved(old)
		}
		found[name] = m
	}
	kept, diags = seen.observe(ctx, ch.cluster, found, outcome.Reports, ch.routesToLook(c.Owner.ValueString(), outcome.Reports, now), moments{now: now})
	ch.leaveUnforeseen(found, ch.cluster.Status(c.Owner.ValueString(), outcome.Reports, now))
	for name, m := range members {
		m.fillIn(found[name])
		members[name] = m
		if !m.Health.Equal(found[name].Health) || !m.Drift.Equal(found[name].Drift) {
			diags.AddAttributeError(path.Root("members").AtMapKey(name), fmt.Sprintf("Member %s is not as it was planned", name),
				health.Did(outcome.Done)+" "+health.Found(ch.cluster.Status(c.Owner.ValueString(), outcome.Reports, now).Member(m.member(name)), outcome.Reports)+" Plan again: the plan says what is left to do.")
		}
	}
	if c.Endpoints.IsUnknown() {
		c.Endpoints = value.List(ch.cluster.Endpoints())
	}
	if c.Status.IsUnknown() {
		c.Status = seen.Status
	}
	if c.Alarms.IsUnknown() {
		c.Alarms = seen.Alarms
	}
	diags.Append(c.setMembers(ctx, members)...)
	return kept, diags
}

// leaveUnforeseen leaves out of what was found that certificates have become due since the plan: its apply did not
// renew them, and the next refresh shows them.
func (ch change) leaveUnforeseen(found map[string]memberModel, status membership.ClusterStatus) {
	for _, s := range plan.WithAuthorities(status).Members {
		m, known := found[s.Name]
		if known && s.Desired && s.Due != "" && s.Invalid == s.Due && ch.waits(s.Name) == "" && !ch.members[s.Name].Drift.IsUnknown() {
			s.Invalid = ""
			m.Drift = health.Drift(s)
			found[s.Name] = m
		}
	}
}

// fillIn takes over what was observed of a member where the plan left it to the apply.
func (m *memberModel) fillIn(found memberModel) {
	for _, text := range []struct{ planned, found *types.String }{
		{&m.ID, &found.ID}, {&m.Health, &found.Health}, {&m.EtcdVersion, &found.EtcdVersion}, {&m.CertificateExpiresAt, &found.CertificateExpiresAt},
	} {
		if text.planned.IsUnknown() {
			*text.planned = *text.found
		}
		if text.planned.IsUnknown() { // nobody could be asked
			*text.planned = types.StringNull()
		}
	}
	if m.Drift.IsUnknown() {
		m.Drift = found.Drift
	}
	if m.Drift.IsUnknown() {
		m.Drift = types.ListNull(types.StringType)
	}
}

// unmanagedKey returns the key under which a plan shows an unmanaged member.
func unmanagedKey(s membership.UnmanagedMember, taken map[string]memberModel) string {
	name := s.Name
	if name == "" { // it has been added, and has never started
		name = s.ID
	}
	if _, known := taken[name]; known {
		return fmt.Sprintf("%s (%s)", name, s.ID)
	}
	return name
}

// warnOfExpiry warns of members' certificates that are due, or about to expire, and that this plan leaves as they are.
func (c clusterModel) warnOfExpiry(ctx context.Context, from startingPoint, ch change, now time.Time) diag.Diagnostics {
	members, diags := c.memberModels(ctx)
	ends := now.AddDate(100, 0, 0) // where it is not known
	if first, err := authority.FirstToExpire(c.PeerCACertificate.ValueString(), c.CACertificate.ValueString(), from.authority.Above()...); err == nil {
		ends = first.NotAfter
	}
	var left []renewal.Left
	for _, name := range slices.Sorted(maps.Keys(members)) {
		m := members[name]
		if was := from.before[name]; m.CertificateExpiresAt.IsUnknown() && m.Health.IsUnknown() && was.Health.ValueString() != health.Healthy {
			m = was // nothing is foreseen of it
		} else if ch.alerts(m.member(name)) || ch.waits(name) != "" {
			m.CertificateExpiresAt = was.CertificateExpiresAt
		}
		expires, err := time.Parse(time.RFC3339, m.CertificateExpiresAt.ValueString())
		if err != nil { // the plan renews them, or leaves it to the apply
			continue
		}
		l := renewal.Left{Name: name, Expires: expires, Lifetime: lifetime(ch.seen[m.member(name)], expires), Why: "plan again after this apply"}
		switch is := m.Health.ValueString(); {
		case ch.waits(name) != "":
			l.Due, l.Why = true, ch.waits(name)+", and it is left as it is"
		case slices.Contains(ch.plan.Lacking, m.member(name)):
			l.Why = "it is left alone"
		case is != health.Healthy:
			l.Why = fmt.Sprintf("the member is %s, and gets others once it serves: mend that, and apply again", is)
		case ch.exhausted(m.member(name)) != "":
			l.Why = ch.exhausted(m.member(name)) + ", with its authority or one above: renewing it gains nothing; give pki another authority, or the chain that was renewed above this one"
		case len(ch.keyless) > 0:
			l.Why = "no apply renews them without " + strings.Join(ch.keyless, " and ")
		}
		left = append(left, l)
	}
	diags.Append(renewal.Warn(c.Certificates, left, ch.unsigned(), ends, now)...)
	return diags
}

// unsigned returns why members get no certificates, or "".
func (ch change) unsigned() string {
	switch {
	case ch.plan.Unsigned == nil:
		return ""
	case ch.lacksKeys():
		return "No apply renews them without " + strings.Join(ch.keyless, " and ") + "."
	}
	return "No certificate is signed now: " + ch.plan.Unsigned.Error() + "."
}

// lacksKeys tells whether members get no certificates because the configuration leaves out the keys that sign them.
func (ch change) lacksKeys() bool {
	refusal := (*membership.Refusal)(nil)
	return errors.As(ch.plan.Unsigned, &refusal) && refusal.Summary == exchange.NeedsKey
}

// warnOfClocks warns of hosts whose clocks differ too much from the operator's or from each other's.
func (c clusterModel) warnOfClocks(reports bootstrap.Reports, members []membership.Member) (diags diag.Diagnostics) {
	wrong := reports.Clocks().Differ(members, clocks.Noticeable)
	if len(wrong) == 0 {
		return nil
	}
	var texts []string
	for _, refusal := range wrong {
		texts = append(texts, refusal.Error())
	}
	text := "Certificates, leases and backups go by the clocks of hosts:\n\n  " + strings.Join(texts, "\n  ") + "\n\n"
	if reports.Clocks().MaySign(members) != nil {
		text += fmt.Sprintf("Until then no certificate is signed: certificates that are due wait, and a plan that needs one is refused, since clocks differ by more than the %s by which certificates are backdated.", cert.Backdate)
	} else {
		text += fmt.Sprintf("Certificates are backdated by %s, so that nothing is refused for that yet.", cert.Backdate)
	}
	diags.AddAttributeWarning(path.Root("members"), fmt.Sprintf("The clocks of cluster %s differ", c.Name.ValueString()), text)
	return diags
}

// warnOfAuthorities warns that the authorities of a cluster are about to expire, or what stands above them, as hosts
// show it.
func (c clusterModel) warnOfAuthorities(reports bootstrap.Reports, now time.Time) diag.Diagnostics {
	return authority.WarnOfExpiry(c.PeerCACertificate, c.CACertificate, reports.Above(), c.Name.ValueString(), now, path.Root("pki"))
}
