package bootstrap

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/clocks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Reports are the hosts' reports by member. A desired member without a report was not observed: its host is taken to
// carry nothing.
type Reports map[membership.Member]Report

// Clocks are the hosts' clocks.
func (r Reports) Clocks() clocks.Clocks {
	all := clocks.Clocks{}
	for m, report := range r {
		all[m] = report.Clock
	}
	return all
}

// AllMembers returns the desired members and those with reports, sorted by name, then address.
func (c Cluster) AllMembers(reports Reports) []membership.Member {
	members := slices.Clone(c.Members)
	for m := range reports {
		if !slices.Contains(members, m) {
			members = append(members, m)
		}
	}
	slices.SortFunc(members, func(a, b membership.Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
	return members
}

// Status compares what the hosts of owner's cluster reported with what is desired. Certificates are checked for
// validity at now; a zero now skips that check.
func (c Cluster) Status(owner string, reports Reports, now time.Time) membership.ClusterStatus {
	p := membership.ClusterStatus{PeerName: c.PeerName}
	p.Trusts, p.Signers = c.desiredAuthorities(now)
	known := c.trust(owner, reports)
	p.Ended = membership.Authorities{Peers: known.peers.ended(now, c.Chains), Clients: known.clients.ended(now, c.Chains)}
	list := c.memberList(owner, reports)
	routes := c.routesTo(c.AllMembers(reports), list, owner, reports)
	p.Mistakes = routes.mistakes()
	for _, m := range c.AllMembers(reports) {
		report, seen := reports[m]
		if routes.isSecondAddress(m) || routes.isOldAddress(m) {
			continue
		}
		s := membership.MemberStatus{Member: m, Desired: slices.Contains(c.Members, m), State: membership.Missing, Why: "its host carries nothing of it"}
		if seen {
			s.State, s.Why = c.state(m, report, owner)
			s.Barred = remedy(report.Err)
			if why, _ := routes.mistake(m); why != "" {
				s.State, s.Why = membership.Foreign, why
			}
			s.Unfit = s.State == membership.Foreign && s.Why == c.unfit(report.Contact)
			s.Traces = report.Marker() != nil && s.State != membership.Foreign
			s.Restoring, s.Data = restoring(report), report.Data
			s.Differs = report.Observation != nil && report.Observation.Data.Differs
			s.Alone = s.State == membership.Blocked && report.Observation != nil && report.Observation.GuardCheck == api.GuardAlone
			if move, moves := routes.moveOf(m); moves {
				s.Move = move
				s.Unheard, s.Gone = routes.unheard(m, move, reports), lostAddress(move, report)
			}
		}
		s.Rebuild = c.rebuild(s, report, owner)
		c.setRole(&s, list, report, routes)
		s.Unlisted = c.mayLack(list, s, report, owner)
		if s.Role == membership.Learner && (s.State == membership.Stopped || s.State == membership.Unhealthy) && formedAsAnother(report, s.ID) {
			s.State, s.Why = membership.Lost, lostBy[api.GuardIdentity]
		}
		if o := report.Observation; o != nil && o.Marker != nil && o.Marker.Owner == owner && s.State != membership.Foreign {
			s.Issued, s.Serves, s.Peering = c.issued(o, known), c.servesOther(*o), peering(o)
		}
		if s.State == membership.Unreachable && !s.Desired && s.Role == membership.Absent && s.Unlisted == "" {
			continue // it has left, and its host cannot be observed
		}
		p.Members = append(p.Members, s)
	}
	for _, entry := range list.entries {
		if !slices.ContainsFunc(p.Members, func(s membership.MemberStatus) bool { return s.ID == entry.ID }) {
			p.Unmanaged = append(p.Unmanaged, unmanaged(entry, owner, reports))
		}
	}
	p.Unseen = list.unseen(p.Members)
	c.addClusterFacts(&p, owner, reports)
	markReverted(&p, reports)
	markDamaged(&p, reports)
	markDiverged(&p)
	for i := range p.Members {
		c.filters(&p.Members[i], reports[p.Members[i].Member], owner)
	}
	// A member's desired configuration depends on which members there are.
	as := c.As(p)
	for i := range p.Members {
		if s := &p.Members[i]; s.Desired {
			as.diff(s, reports[s.Member], owner, known, now)
		}
	}
	return p
}

// markReverted marks voters as lost whose machines were reset to an older state, so that they lost writes that they
// had acknowledged, or their identity. It does so only if the others serve: without a quorum, the planner keeps such
// voters from starting, and waits.
func markReverted(p *membership.ClusterStatus, reports Reports) {
	if !p.HasQuorum() {
		return
	}
	before := p.Clone()
	for i := range p.Members {
		switch s := &p.Members[i]; {
		case hasOtherMemberID(*s, reports[s.Member].Observation):
			s.State, s.Why = membership.Lost, "its data is older than its last rebuild: its machine was reset to an older state"
		case before.WasPutBack(*s):
			s.State, s.Why = membership.Lost, membership.PutBack(s.Index, s.Had)
		case s.Survives() && isOfNewerEtcd(*s, reports[s.Member].Observation, before):
			s.State, s.Why = membership.Lost, fmt.Sprintf("its data is of etcd %s, and its cluster has gone back to %s: its machine was reset to an older state", membership.Minor(reports[s.Member].Observation.Data.Log.Version), p.ClusterVersion)
		}
	}
}

// isOfNewerEtcd tells whether a member's log is of a newer etcd than its cluster has agreed on. The member had agreed
// on the older one, since no downgrade ends without it, unless it is cancelled. While one is under way, or was
// cancelled, that shows only in a member that would run an older etcd than its log needs.
func isOfNewerEtcd(s membership.MemberStatus, o *api.Observation, p membership.ClusterStatus) bool {
	return (s.Behind || p.Downgrade == "" && haveGoneBack(p)) && o != nil && o.Data.Log != nil && o.Data.Log.Error == "" && olderMinor(p.ClusterVersion, o.Data.Log.Version)
}

// haveGoneBack tells whether all voters that serve run no newer etcd than their cluster has agreed on: a downgrade that
// was cancelled leaves newer ones.
func haveGoneBack(p membership.ClusterStatus) bool {
	return !slices.ContainsFunc(p.Healthy(), func(s membership.MemberStatus) bool {
		return s.Version == "" || olderMinor(p.ClusterVersion, s.Version)
	})
}

// hasOtherMemberID tells whether the log of a voter that does not serve has another member ID than the cluster's list.
func hasOtherMemberID(s membership.MemberStatus, o *api.Observation) bool {
	if !s.Survives() || o == nil || o.Data.Log == nil {
		return false
	}
	log := o.Data.Log
	return log.Error == "" && log.MemberID != "" && s.ID != "" && log.MemberID != s.ID
}

// rebuild returns the text by which a member is to be rebuilt, or "" if it is not to be or already was. What a host
// that cannot be observed was built by is not known.
func (c Cluster) rebuild(s membership.MemberStatus, report Report, owner string) string {
	if !s.Desired || !slices.Contains(c.Rebuild, s.Name) {
		return ""
	}
	text, marker := c.Built[s.Name], report.Marker()
	if report.Err == nil && (marker == nil || marker.Owner != owner || marker.Rebuild == text) {
		return ""
	}
	return text
}

// As returns the cluster with the current voters as members, as a voter's configuration names them.
func (c Cluster) As(p membership.ClusterStatus) Cluster {
	c.Members, c.listedAt = nil, map[membership.Member]string{}
	for _, s := range p.Voters() {
		if s.From != "" && !s.Moved {
			c.listedAt[s.Member] = s.From
		}
		if !s.Desired {
			c.Members = append(c.Members, s.Member)
		}
	}
	for _, s := range p.Voters() {
		if s.Desired {
			c = c.With(s.Member)
		}
	}
	c.Members = membership.Sort(c.Members)
	return c
}

// With returns the cluster with m as a member, whether it votes yet or not. A leaving member of the same name gets
// another name: etcd identifies peers by their URLs.
func (c Cluster) With(m membership.Member) Cluster {
	if slices.Contains(c.Members, m) {
		return c
	}
	members := slices.Clone(c.Members)
	for i := range members {
		if members[i].Name == m.Name {
			url, known := c.listedAt[members[i]]
			members[i].Name += leaving
			if known {
				c.listedAt = maps.Clone(c.listedAt)
				c.listedAt[members[i]] = url
			}
		}
	}
	c.Members = membership.Sort(append(members, m))
	return c
}

// leaving is appended to the name of a member whose replacement has its name.
const leaving = ".leaving"

// state returns the state of a member by what was observed on its host, and the reason.
func (c Cluster) state(m membership.Member, report Report, owner string) (membership.State, string) {
	o := report.Observation
	marker := report.Marker()
	switch {
	case report.Err != nil:
		return membership.Unreachable, WhyUnasked(report.Err)
	case report.Contact.MarkerError != "":
		return membership.Foreign, report.Contact.MarkerError
	case marker == nil:
		return c.unmarkedState(m, report)
	case marker.Owner != owner:
		return membership.Foreign, fmt.Sprintf("its host carries member %s of a cluster %s that another state manages", marker.Member, marker.Cluster)
	case o == nil:
		return membership.StoreMissing, "its store is gone"
	}
	running := o.Unit.ActiveState == "active" || o.Unit.ActiveState == "activating"
	aside := wasSetAside(*o)
	switch {
	case marker.Member != m.Name && !aside:
		return membership.Lost, fmt.Sprintf("its host carries member %s", marker.Member)
	case o.GuardCheck == api.GuardMount:
		return membership.Blocked, o.Guard
	case marker.Phase == api.PhaseJoining && !o.Data.HasMember && !running:
		return membership.Missing, "it has not joined yet"
	case aside:
		return membership.Missing, "its data was moved aside"
	case !o.Data.HasMember && marker.Phase == api.PhaseFormed:
		return membership.Lost, "its data is lost"
	case o.GuardCheck == api.GuardData || o.GuardCheck == api.GuardIdentity || o.GuardCheck == api.GuardProgress:
		return membership.Lost, lostBy[o.GuardCheck]
	case !running && o.GuardCheck == api.GuardPath:
		return membership.Stopped, "its flags and its marker name different data directories"
	case !running && o.Guard != "":
		return membership.Blocked, o.Guard
	case !running && o.Data.Full:
		return membership.Stopped, fmt.Sprintf("its unit is %s, and the disk of its data is full", o.Unit.ActiveState)
	case !running:
		return membership.Stopped, "its unit is " + o.Unit.ActiveState
	case o.Member.Healthy, o.Member.Responding && o.Member.Learner && o.Member.Leader != "":
		return membership.Healthy, ""
	}
	switch {
	case o.Unit.Looping && o.Data.Full:
		return membership.Unhealthy, "its process ends each time that it is started, and the disk of its data is full"
	case o.Unit.Looping:
		return membership.Unhealthy, "its process ends each time that it is started"
	}
	return membership.Unhealthy, "it runs, and serves no linearizable read"
}

// formedAsAnother tells whether a host carries the data of a former voter with another ID.
func formedAsAnother(report Report, id string) bool {
	o := report.Observation
	return o != nil && o.Marker != nil && o.Marker.Phase == api.PhaseFormed && o.Data.HasMember && o.Marker.MemberID != "" && o.Marker.MemberID != id
}

// lostBy gives the guard's findings in the words of a plan, the same each time.
var lostBy = map[api.GuardCheck]string{
	api.GuardData:     "its data is lost",
	api.GuardIdentity: "its data directory holds another member's data",
	api.GuardProgress: "its data is older than it was",
}

// unmarkedState returns the state of a member whose host has no marker.
func (c Cluster) unmarkedState(m membership.Member, report Report) (membership.State, string) {
	if report.Observation == nil && report.Contact.Machine == "" {
		return membership.Missing, "its host carries nothing of it" // the report was stored without its contact
	}
	if claim, refused := c.claim(m, report, Formation{}); claim != membership.Bare {
		return membership.Foreign, refused
	}
	if unfit := c.unfit(report.Contact); unfit != "" && report.Contact.Machine != "" {
		return membership.Foreign, unfit
	}
	if not := addressMissing(m, report); not != "" {
		return membership.Foreign, not
	}
	return membership.Missing, "its host carries nothing of it"
}

// addClusterFacts adds what the members report about the cluster as a whole.
func (c Cluster) addClusterFacts(p *membership.ClusterStatus, owner string, reports Reports) {
	lowered := true
	for i, s := range p.Members {
		if s.Role == membership.Voter || s.Unlisted != "" {
			rank(&p.Members[i], reports[s.Member])
		}
		if s.Role == membership.Voter {
			p.Members[i].Had = max(p.Members[i].Had, c.Acknowledged[s.ID])
		}
		o := reports[s.Member].Observation
		if o == nil || o.Marker == nil || o.Marker.Owner != owner {
			lowered = lowered && s.Role != membership.Voter
			continue
		}
		p.Members[i].Active = o.Unit.ActiveState == "active"
		p.Members[i].Storeless, p.Members[i].Cramped = storeless(o.Store), o.Data.Cramped
		p.Members[i].Version = cmp.Or(o.Member.Version, c.versionOf(o.Store.Selected))
		p.Members[i].Looping = o.Unit.Looping && o.GuardCheck != api.GuardMount // it only waits for its disk then
		if s.State != membership.Healthy {
			lowered = lowered && s.Role != membership.Voter
			p.Members[i].Behind = o.Data.Log != nil && olderMinor(p.Members[i].Version, o.Data.Log.Version)
			continue
		}
		p.Members[i].Unready = s.Role == membership.Voter && !o.Member.Ready
		if p.Leader == "" {
			p.Leader = o.Member.Leader
		}
		p.ClusterVersion = cmp.Or(p.ClusterVersion, membership.Minor(o.Member.ClusterVersion))
		p.Downgrade = cmp.Or(p.Downgrade, membership.Minor(o.Member.Downgrade))
		if s.Role == membership.Voter && (p.Downgrade == "" || membership.Minor(o.Member.StorageVersion) != p.Downgrade) {
			lowered = false
		}
		for _, alarm := range o.Member.Alarms {
			if id, full := strings.CutPrefix(alarm, "NOSPACE "); full && !slices.Contains(p.Full, id) {
				p.Full = append(p.Full, id)
			}
			p.Corrupt = p.Corrupt || strings.HasPrefix(alarm, AlarmCorrupt)
		}
	}
	for i, s := range p.Members {
		if s.State != membership.Healthy && s.Role == membership.Voter && membership.Minor(s.Version) != p.Downgrade {
			p.Members[i].Behind = p.Members[i].Behind || olderMinor(s.Version, p.ClusterVersion)
		}
	}
	slices.Sort(p.Full)
	p.Lowered = lowered && p.Downgrade != ""
	if p.ClusterVersion == "" {
		for _, s := range p.Voters() {
			if s.Version != "" && (p.ClusterVersion == "" || membership.CompareVersions(membership.Minor(s.Version), p.ClusterVersion) < 0) {
				p.ClusterVersion = membership.Minor(s.Version)
			}
		}
	}
}

// markDamaged marks members with damaged data as lost if the others are a quorum, from which they can be rebuilt.
// Without one, what can still be read of them may be all that there is.
func markDamaged(p *membership.ClusterStatus, reports Reports) {
	if !p.HasQuorum() {
		return
	}
	for i := range p.Members {
		s := &p.Members[i]
		o := reports[s.Member].Observation
		if o != nil && o.Data.Damage != "" && (s.State == membership.Unhealthy || s.State == membership.Stopped) {
			s.State, s.Why = membership.Lost, "its data is damaged"
		}
	}
}

// storeless tells whether the store that a host has selected is gone.
func storeless(s api.Store) bool {
	return s.Selected != "" && len(s.Installed) > 0 && !slices.Contains(s.Installed, s.Selected)
}

// olderMinor tells whether a version has an older minor version than another, if both are known.
func olderMinor(version, than string) bool {
	return version != "" && than != "" && membership.CompareVersions(membership.Minor(version), membership.Minor(than)) < 0
}

// versionOf returns the version of a store that the provider carries, or "".
func (c Cluster) versionOf(store string) string {
	for _, hash := range c.Stores {
		if hash == store {
			return c.Version
		}
	}
	for version, stores := range c.StoresOf {
		for _, hash := range stores {
			if hash == store {
				return version
			}
		}
	}
	return ""
}
