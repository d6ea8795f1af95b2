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

// Sight is what was seen of a living cluster: a report of the host of every seat that was looked at. A
// wanted member that has none was not: its host is taken to carry nothing.
type Sight map[membership.Member]Report

// Seats are the seats of the sight and of what is wanted, sorted by name, then address.
func (c Cluster) Seats(sight Sight) []membership.Member {
	seats := slices.Clone(c.Members)
	for m := range sight {
		if !slices.Contains(seats, m) {
			seats = append(seats, m)
		}
	}
	slices.SortFunc(seats, func(a, b membership.Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
	return seats
}

// Picture measures a living cluster of this owner against what is wanted of it. now decides which
// certificates hold; the zero time: their times are not looked at.
func (c Cluster) Picture(owner string, sight Sight, now time.Time) membership.Picture {
	p := membership.Picture{}
	list := c.memberList(owner, sight)
	ways := c.waysTo(c.Seats(sight), list, owner, sight)
	p.Mistakes = ways.mistakes()
	for _, m := range c.Seats(sight) {
		report, seen := sight[m]
		if ways.detour(m) || ways.old(m) {
			continue
		}
		s := membership.Seat{Member: m, Wanted: slices.Contains(c.Members, m), State: membership.Missing, Why: "its host carries nothing of it"}
		if seen {
			s.State, s.Why = c.state(m, report, owner)
			if why, _ := ways.mistake(m); why != "" {
				s.State, s.Why = membership.Foreign, why
			}
			s.Unfit = s.State == membership.Foreign && s.Why == c.unfit(report.Contact)
			s.Traces = report.Marker() != nil && s.State != membership.Foreign
			s.Restoring, s.Data = restoring(report), report.Data
			s.Differs = report.Observation != nil && report.Observation.Data.Differs
			if move, moves := ways.move(m); moves {
				s.Move = move
				s.Unheard, s.Gone = ways.unheard(m, move, sight), gone(move, report)
			}
		}
		s.Rebuild = c.rebuild(s, report, owner)
		c.place(&s, list, report, ways)
		if s.Role == membership.Learner && (s.State == membership.Stopped || s.State == membership.Unhealthy) && formedAsAnother(report, s.ID) {
			s.State, s.Why = membership.Lost, lostBy[api.GuardIdentity]
		}
		if s.State == membership.Unreachable && !s.Wanted && s.Role == membership.Absent {
			continue // it has left, and nobody can be asked what it left
		}
		p.Seats = append(p.Seats, s)
	}
	for _, entry := range list.entries {
		if !slices.ContainsFunc(p.Seats, func(s membership.Seat) bool { return s.ID == entry.ID }) {
			p.Strangers = append(p.Strangers, stranger(entry, owner, sight))
		}
	}
	p.Unseen = list.unseen(p.Seats)
	c.lookAtWhole(&p, owner, sight)
	c.findReverted(&p, sight)
	giveUpDamaged(&p, sight)
	diverge(&p)
	// What a member is to run by depends on which members there are.
	as := c.As(p)
	for i := range p.Seats {
		if s := &p.Seats[i]; s.Wanted {
			as.measure(s, sight[s.Member], owner, now)
		}
	}
	return p
}

// findReverted finds voters that do not serve, and whose log ends before what they are known to have had on their disk:
// somebody has put their machine, with all that it records, back to what it was. They have acknowledged what they no
// longer have, so that their vote could lose it. It is told only where the others serve: where no quorum does, all may
// have been put back together, by purpose.
func (c Cluster) findReverted(p *membership.Picture, sight Sight) {
	if !p.HasQuorum() {
		return
	}
	for i := range p.Seats {
		s := &p.Seats[i]
		o := sight[s.Member].Observation
		if s.Role != membership.Voter || s.State != membership.Stopped && s.State != membership.Unhealthy || o == nil || o.Data.Log == nil {
			continue
		}
		log := o.Data.Log
		switch {
		case log.Error != "" || log.MemberID == "" || s.ID == "":
		case log.MemberID != s.ID:
			s.State, s.Why = membership.Lost, "its data is of an earlier life of it: it was built anew since, and its machine was put back to an older state"
		case log.Index < c.Acknowledged[s.ID]:
			s.State, s.Why = membership.Lost, membership.PutBack(log.Index, c.Acknowledged[s.ID])
		}
	}
}

// rebuild is the text by which a seat's member is to be built anew; empty: it is not to be, or was. What a host that
// cannot be asked has been built by is not known.
func (c Cluster) rebuild(s membership.Seat, report Report, owner string) string {
	if !s.Wanted || !slices.Contains(c.Rebuild, s.Name) {
		return ""
	}
	text, marker := c.Built[s.Name], report.Marker()
	if report.Err == nil && (marker == nil || marker.Owner != owner || marker.Rebuild == text) {
		return ""
	}
	return text
}

// As is the cluster with the members that vote now, as a voter's configuration has them.
func (c Cluster) As(p membership.Picture) Cluster {
	c.Members, c.elsewhere = nil, map[membership.Member]string{}
	for _, s := range p.Voters() {
		if s.From != "" && !s.Moved {
			c.elsewhere[s.Member] = s.From
		}
		if !s.Wanted {
			c.Members = append(c.Members, s.Member)
		}
	}
	for _, s := range p.Voters() {
		if s.Wanted {
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

// state is what was seen on a seat's host, and why.
func (c Cluster) state(m membership.Member, report Report, owner string) (membership.State, string) {
	o := report.Observation
	marker := report.Marker()
	switch {
	case report.Err != nil:
		return membership.Unreachable, "its host cannot be reached"
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
	case !running:
		return membership.Stopped, "its unit is " + o.Unit.ActiveState
	case o.Member.Healthy, o.Member.Responding && o.Member.Learner && o.Member.Leader != "":
		return membership.Healthy, ""
	}
	if o.Unit.Looping {
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
		return membership.Missing, "its host carries nothing of it" // seen through a sight that kept no contact
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
func (c Cluster) memberList(owner string, sight Sight) memberList {
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
	for _, m := range c.Seats(sight) {
		o := sight[m].Observation
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
		return memberList{named: namedMembers(owner, sight)}
	}
	return memberList{entries: best.Members, known: true}
}

// namedMembers are the peer URLs of all members that this owner's hosts know of: those that there were when
// the configuration was last written, and those that were to be added since.
func namedMembers(owner string, sight Sight) map[string]bool {
	var named map[string]bool
	for _, report := range sight {
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
func (c Cluster) lookAtWhole(p *membership.Picture, owner string, sight Sight) {
	lowered := true
	for i, s := range p.Seats {
		if s.Role == membership.Voter {
			rank(&p.Seats[i], sight[s.Member])
			p.Seats[i].Had = c.Acknowledged[s.ID]
		}
		o := sight[s.Member].Observation
		if o == nil || o.Marker == nil || o.Marker.Owner != owner {
			lowered = lowered && s.Role != membership.Voter
			continue
		}
		p.Seats[i].Active = o.Unit.ActiveState == "active"
		p.Seats[i].Storeless, p.Seats[i].Cramped = storeless(o.Store), o.Data.Cramped
		p.Seats[i].Version = cmp.Or(o.Member.Version, c.versionOf(o.Store.Selected))
		p.Seats[i].Looping = o.Unit.Looping
		if s.State != membership.Healthy {
			lowered = lowered && s.Role != membership.Voter
			p.Seats[i].Behind = o.Data.Log != nil && older(p.Seats[i].Version, o.Data.Log.Version)
			continue
		}
		p.Seats[i].Unready = s.Role == membership.Voter && !o.Member.Ready
		if p.Leader == "" {
			p.Leader = o.Member.Leader
		}
		p.ClusterVersion = cmp.Or(p.ClusterVersion, membership.Line(o.Member.ClusterVersion))
		p.Downgrade = cmp.Or(p.Downgrade, membership.Line(o.Member.Downgrade))
		if s.Role == membership.Voter && (p.Downgrade == "" || membership.Line(o.Member.StorageVersion) != p.Downgrade) {
			lowered = false
		}
		for _, alarm := range o.Member.Alarms {
			p.Full = p.Full || strings.HasPrefix(alarm, "NOSPACE")
			p.Corrupt = p.Corrupt || strings.HasPrefix(alarm, AlarmCorrupt)
		}
	}
	for i, s := range p.Seats {
		if s.State != membership.Healthy && s.Role == membership.Voter && membership.Line(s.Version) != p.Downgrade {
			p.Seats[i].Behind = p.Seats[i].Behind || older(s.Version, p.ClusterVersion)
		}
	}
	p.Lowered = lowered && p.Downgrade != ""
	if p.ClusterVersion == "" {
		for _, s := range p.Voters() {
			if s.Version != "" && (p.ClusterVersion == "" || membership.CompareVersions(membership.Line(s.Version), p.ClusterVersion) < 0) {
				p.ClusterVersion = membership.Line(s.Version)
			}
		}
	}
}

// giveUpDamaged has members whose data is damaged count as lost where the others are a quorum, from which they can be
// rebuilt. Without one, what can be read of them still may be all that there is.
func giveUpDamaged(p *membership.Picture, sight Sight) {
	if !p.HasQuorum() {
		return
	}
	for i := range p.Seats {
		s := &p.Seats[i]
		o := sight[s.Member].Observation
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
	return version != "" && than != "" && membership.CompareVersions(membership.Line(version), membership.Line(than)) < 0
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
