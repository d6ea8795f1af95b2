package bootstrap

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Reports are what the hosts of a cluster have reported, by member. A desired member without a report was not looked
// at: its host is taken to carry nothing.
type Reports map[membership.Member]Report

// AllMembers are the desired members and those that there are reports of, sorted by name, then address.
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

// Status compares what the hosts of this owner's cluster have reported with what is desired of it. now decides which
// certificates are valid; the zero time: validity is not looked at.
func (c Cluster) Status(owner string, reports Reports, now time.Time) membership.ClusterStatus {
	p := membership.ClusterStatus{}
	list := c.memberList(owner, reports)
	ways := c.waysTo(c.AllMembers(reports), list, owner, reports)
	p.Mistakes = ways.mistakes()
	for _, m := range c.AllMembers(reports) {
		report, seen := reports[m]
		if ways.detour(m) || ways.old(m) {
			continue
		}
		s := membership.MemberStatus{Member: m, Desired: slices.Contains(c.Members, m), State: membership.Missing, Why: "its host carries nothing of it"}
		if seen {
			s.State, s.Why = c.state(m, report, owner)
			s.Barred = remedy(report.Err)
			if why, _ := ways.mistake(m); why != "" {
				s.State, s.Why = membership.Foreign, why
			}
			s.Unfit = s.State == membership.Foreign && s.Why == c.unfit(report.Contact)
			s.Traces = report.Marker() != nil && s.State != membership.Foreign
			s.Restoring, s.Data = restoring(report), report.Data
			s.Differs = report.Observation != nil && report.Observation.Data.Differs
			s.Alone = s.State == membership.Blocked && report.Observation != nil && report.Observation.GuardCheck == api.GuardAlone
			if move, moves := ways.move(m); moves {
				s.Move = move
				s.Unheard, s.Gone = ways.unheard(m, move, reports), gone(move, report)
			}
		}
		s.Rebuild = c.rebuild(s, report, owner)
		c.place(&s, list, report, ways)
		if s.Role == membership.Learner && (s.State == membership.Stopped || s.State == membership.Unhealthy) && formedAsAnother(report, s.ID) {
			s.State, s.Why = membership.Lost, lostBy[api.GuardIdentity]
		}
		if s.State == membership.Unreachable && !s.Desired && s.Role == membership.Absent {
			continue // it has left, and nobody can be asked what it left
		}
		p.Members = append(p.Members, s)
	}
	for _, entry := range list.entries {
		if !slices.ContainsFunc(p.Members, func(s membership.MemberStatus) bool { return s.ID == entry.ID }) {
			p.Unmanaged = append(p.Unmanaged, unmanaged(entry, owner, reports))
		}
	}
	p.Unseen = list.unseen(p.Members)
	c.lookAtWhole(&p, owner, reports)
	findReverted(&p, reports)
	giveUpDamaged(&p, reports)
	diverge(&p)
	// What a member is to run by depends on which members there are.
	as := c.As(p)
	for i := range p.Members {
		if s := &p.Members[i]; s.Desired {
			as.diff(s, reports[s.Member], owner, now)
		}
	}
	return p
}

// findReverted finds voters whose machines were put back to an older state, and which have lost what they acknowledged or what they
// are. It gives them up only where the others serve: where no quorum does, the planner keeps them from being started, and waits.
func findReverted(p *membership.ClusterStatus, reports Reports) {
	if !p.HasQuorum() {
		return
	}
	before := p.Clone()
	for i := range p.Members {
		switch s := &p.Members[i]; {
		case ofEarlierLife(*s, reports[s.Member].Observation):
			s.State, s.Why = membership.Lost, "its data is older than its last rebuild: its machine was put back to an older state"
		case before.WasPutBack(*s):
			s.State, s.Why = membership.Lost, membership.PutBack(s.Index, s.Had)
		}
	}
}

// ofEarlierLife tells whether the log of a voter that does not serve is that of another member ID than the cluster's list has for it.
func ofEarlierLife(s membership.MemberStatus, o *api.Observation) bool {
	if !s.Survives() || o == nil || o.Data.Log == nil {
		return false
	}
	log := o.Data.Log
	return log.Error == "" && log.MemberID != "" && s.ID != "" && log.MemberID != s.ID
}

// rebuild is the text by which a member is to be built anew; empty: it is not to be, or was. What a host that
// cannot be asked has been built by is not known.
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

// As is the cluster with the members that vote now, as a voter's configuration has them.
func (c Cluster) As(p membership.ClusterStatus) Cluster {
	c.Members, c.elsewhere = nil, map[membership.Member]string{}
	for _, s := range p.Voters() {
		if s.From != "" && !s.Moved {
			c.elsewhere[s.Member] = s.From
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

// With is the cluster with a member in it, whether it votes yet or not. Another of its name leaves, and is
// called otherwise from then on: of others, etcd goes by their URLs.
func (c Cluster) With(m membership.Member) Cluster {
	if slices.Contains(c.Members, m) {
		return c
	}
	members := slices.Clone(c.Members)
	for i := range members {
		if members[i].Name == m.Name {
			url, known := c.elsewhere[members[i]]
			members[i].Name += leaving
			if known {
				c.elsewhere = maps.Clone(c.elsewhere)
				c.elsewhere[members[i]] = url
			}
		}
	}
	c.Members = membership.Sort(append(members, m))
	return c
}

// leaving ends the name under which others know a member whose name another one has by now.
const leaving = ".leaving"

// state is what was seen on a member's host, and why.
func (c Cluster) state(m membership.Member, report Report, owner string) (membership.State, string) {
	o := report.Observation
	marker := report.Marker()
	switch {
	case report.Err != nil:
		return membership.Unreachable, WhyUnasked(report.Err)
	case report.Contact.MarkerError != "":
		return membership.Foreign, report.Contact.MarkerError
	case marker == nil:
		return c.bare(m, report)
	case marker.Owner != owner:
		return membership.Foreign, fmt.Sprintf("its host carries member %s of a cluster %s that another state manages", marker.Member, marker.Cluster)
	case o == nil:
		return membership.StoreMissing, "its store is gone"
	}
	running := o.Unit.ActiveState == "active" || o.Unit.ActiveState == "activating"
	aside := putAside(*o)
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

// formedAsAnother tells whether a host carries the data of a member of another ID, which had a vote.
func formedAsAnother(report Report, id string) bool {
	o := report.Observation
	return o != nil && o.Marker != nil && o.Marker.Phase == api.PhaseFormed && o.Data.HasMember && o.Marker.MemberID != "" && o.Marker.MemberID != id
}

// lostBy is what the guard's checks say in a plan, the same each time.
var lostBy = map[api.GuardCheck]string{
	api.GuardData:     "its data is lost",
	api.GuardIdentity: "its data directory holds another member's data",
	api.GuardProgress: "its data is older than it was",
}

// bare is what a host without a marker is.
func (c Cluster) bare(m membership.Member, report Report) (membership.State, string) {
	if report.Observation == nil && report.Contact.Machine == "" {
		return membership.Missing, "its host carries nothing of it" // a report that was kept without its contact
	}
	if claim, refused := c.claim(m, report, Formation{}); claim != membership.Bare {
		return membership.Foreign, refused
	}
	if unfit := c.unfit(report.Contact); unfit != "" && report.Contact.Machine != "" {
		return membership.Foreign, unfit
	}
	if not := notThere(m, report); not != "" {
		return membership.Foreign, not
	}
	return membership.Missing, "its host carries nothing of it"
}

// memberList is etcd's member list.
type memberList struct {
	entries []api.ListedMember
	known   bool
	named   map[string]bool // where it is not known: peer URLs of the members that the hosts' markers name; nil: no marker could be read
}

// memberList is the list as the member has it that has applied the most, of those with a quorum, or else
// of those that answer at all.
func (c Cluster) memberList(owner string, reports Reports) memberList {
	var best *api.Member
	better := func(m *api.Member) bool {
		switch {
		case best == nil:
			return true
		case m.Healthy != best.Healthy:
			return m.Healthy
		}
		return m.AppliedIndex > best.AppliedIndex
	}
	for _, m := range c.AllMembers(reports) {
		o := reports[m].Observation
		if o == nil || o.Marker == nil || o.Marker.Owner != owner || len(o.Member.Members) == 0 {
			continue
		}
		if o.Marker.ClusterID != "" && o.Member.ClusterID != "" && o.Marker.ClusterID != o.Member.ClusterID {
			continue
		}
		if better(&o.Member) {
			best = &o.Member
		}
	}
	if best == nil {
		return memberList{named: namedMembers(owner, reports)}
	}
	return memberList{entries: best.Members, known: true}
}

// namedMembers are the peer URLs of all members that this owner's hosts know of: those that there were when
// the configuration was last written, and those that were to be added since.
func namedMembers(owner string, reports Reports) map[string]bool {
	var named map[string]bool
	for _, report := range reports {
		marker := report.Marker()
		if marker == nil || marker.Owner != owner {
			continue
		}
		if named == nil {
			named = map[string]bool{}
		}
		for entry := range strings.SplitSeq(marker.InitialCluster, ",") {
			_, url, _ := strings.Cut(entry, "=")
			named[url] = true
		}
		for _, url := range marker.Added {
			named[url] = true
		}
	}
	return named
}

// lookAtWhole takes over what the healthy members say of the cluster.
func (c Cluster) lookAtWhole(p *membership.ClusterStatus, owner string, reports Reports) {
	lowered := true
	for i, s := range p.Members {
		if s.Role == membership.Voter {
			rank(&p.Members[i], reports[s.Member])
			p.Members[i].Had = c.Acknowledged[s.ID]
		}
		o := reports[s.Member].Observation
		if o == nil || o.Marker == nil || o.Marker.Owner != owner {
			lowered = lowered && s.Role != membership.Voter
			continue
		}
		p.Members[i].Active = o.Unit.ActiveState == "active"
		p.Members[i].Storeless, p.Members[i].Cramped = storeless(o.Store), o.Data.Cramped
		p.Members[i].Version = cmp.Or(o.Member.Version, c.versionOf(o.Store.Selected))
		p.Members[i].Looping = o.Unit.Looping
		if s.State != membership.Healthy {
			lowered = lowered && s.Role != membership.Voter
			p.Members[i].Behind = o.Data.Log != nil && older(p.Members[i].Version, o.Data.Log.Version)
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
			p.Full = p.Full || strings.HasPrefix(alarm, "NOSPACE")
			p.Corrupt = p.Corrupt || strings.HasPrefix(alarm, AlarmCorrupt)
		}
	}
	for i, s := range p.Members {
		if s.State != membership.Healthy && s.Role == membership.Voter && membership.Minor(s.Version) != p.Downgrade {
			p.Members[i].Behind = p.Members[i].Behind || older(s.Version, p.ClusterVersion)
		}
	}
	p.Lowered = lowered && p.Downgrade != ""
	if p.ClusterVersion == "" {
		for _, s := range p.Voters() {
			if s.Version != "" && (p.ClusterVersion == "" || membership.CompareVersions(membership.Minor(s.Version), p.ClusterVersion) < 0) {
				p.ClusterVersion = membership.Minor(s.Version)
			}
		}
	}
}

// giveUpDamaged has members whose data is damaged count as lost where the others are a quorum, from which they can be
// rebuilt. Without one, what can be read of them still may be all that there is.
func giveUpDamaged(p *membership.ClusterStatus, reports Reports) {
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

// storeless tells whether the store that a host has selected is not there.
func storeless(s api.Store) bool {
	return s.Selected != "" && len(s.Installed) > 0 && !slices.Contains(s.Installed, s.Selected)
}

// older tells whether a version is of an older line than another. One that is not known is not.
func older(version, than string) bool {
	return version != "" && than != "" && membership.CompareVersions(membership.Minor(version), membership.Minor(than)) < 0
}

// versionOf is the version of a store that the provider carries; empty: it carries no such store.
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
