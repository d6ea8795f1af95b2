package nodetest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// running is a member whose process runs, and its host.
type running struct {
	host *Host
	part *installation
}

func (r running) process() *model.Process { return r.part.unit.Process }
func (r running) member() *model.Member   { return r.part.unit.Process.Member }

// network is a part of a cluster whose members reach each other.
type network struct {
	cluster string
	alone   string // address of a host that is cut off; empty: the part of all others
}

func (n network) compare(other network) int {
	return cmp.Or(cmp.Compare(n.cluster, other.cluster), cmp.Compare(n.alone, other.alone))
}

// groups returns the running members that reach each other, in the order of their addresses. A frozen one reaches
// nobody.
func (w *World) groups() map[network][]running {
	groups := map[network][]running{}
	w.each(func(h *Host, part *installation) {
		if p := part.unit.Process; p != nil && !p.Frozen {
			at := h.networkOf(p.Member.Cluster, part)
			groups[at] = append(groups[at], running{h, part})
		}
	})
	return groups
}

// networkOf returns the part of a cluster that a member on this host reaches, whether it runs or starts.
func (h *Host) networkOf(cluster string, part *installation) network {
	at := network{cluster: cluster}
	if p := part.unit.Process; h.CutOff || p != nil && (!h.heard(p) || h.keptOut(part)) {
		at.alone = h.Address
	}
	return at
}

// group returns the running members that this one reaches, including itself.
func (r running) group() []running {
	return r.host.world.groups()[r.host.networkOf(r.member().Cluster, r.part)]
}

// connected returns the IDs of the other members that a member has connections with and has in its list, sorted.
func (r running) connected() (ids []string) {
	linked := r.group()
	r.host.world.each(func(h *Host, part *installation) {
		if p := part.unit.Process; p != nil && p.Frozen && p.Member.Cluster == r.member().Cluster && !h.CutOff && !r.host.CutOff {
			linked = append(linked, running{h, part})
		}
	})
	for _, other := range linked {
		if id := other.member().ID; id != r.member().ID && r.reaches(other) && r.member().State().Find(id) >= 0 {
			ids = append(ids, id)
		}
	}
	lingering := r.host.world.Lingering
	if p := r.process(); time.Now().Before(p.LingeringUntil) {
		lingering = append(slices.Clone(lingering), p.Lingering...)
	}
	for _, id := range lingering {
		if r.member().State().Find(id) >= 0 && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// convene has the running members of each cluster elect leaders where they are a quorum.
func (w *World) convene() {
	groups := w.groups()
	for _, at := range slices.SortedFunc(maps.Keys(groups), network.compare) {
		elect(w, groups[at])
	}
	w.oneServes()
}

// leaderOf returns the member that leads a group, or nil.
func leaderOf(group []running) *model.Member {
	for _, r := range group {
		if r.process().Leader == r.member().ID {
			return r.member()
		}
	}
	return nil
}

// elect has the running members of one cluster follow a leader, if there is a quorum among them. A leader that has its
// quorum stays the leader.
func elect(w *World, group []running) {
	leader := incumbent(group)
	if leader == nil {
		if gone := leaderOf(group); gone != nil && !gone.State().Votes(gone.ID) {
			// The members have agreed that the leader goes.
			for _, r := range group {
				r.member().Follow(gone, r.within(gone))
			}
		}
		serves := func(r running) bool { return r.process().Serves }
		if leader = candidate(group); leader != nil && !w.waited && len(group) < len(leader.State().Members) && !slices.ContainsFunc(group, serves) {
			// Which of several members is the first to start is random, and no test may depend on it.
			leader = nil
		}
		if leader != nil {
			lead(w, group, leader)
		}
	}
	if leader == nil {
		for _, r := range group {
			r.process().Leader = ""
		}
		return
	}
	leads := group[slices.IndexFunc(group, func(r running) bool { return r.member() == leader })]
	var together []running
	for _, r := range group {
		switch m := r.member(); {
		case !r.reaches(leads):
			r.process().Leader = ""
		case leader.State().Find(m.ID) < 0:
			r.part.unit.Leave("the member has been permanently removed from the cluster")
		case !leader.Last.Holds(m.Last):
			r.part.unit.Crash("panic: conflict(4) with entry [committed]: the log of this member contradicts the leader's")
		default:
			together = append(together, r)
		}
	}
	for _, r := range together {
		publish(leader, r.process())
	}
	for _, r := range together {
		p := r.process()
		p.Member.Follow(leader, r.within(leader))
		p.Leader = leader.ID
		if p.Stalled {
			continue
		}
		p.Serves = true
		r.part.unit.Active, r.part.unit.Sub = "active", "running"
	}
}

// incumbent returns the leader that still has its quorum, or nil.
func incumbent(group []running) *model.Member {
	var best *model.Member
	for _, r := range group {
		m := r.member()
		if r.process().Leader == m.ID && m.State().Votes(m.ID) && hasQuorum(group, r) && (best == nil || m.Term > best.Term) {
			best = m
		}
	}
	return best
}

// candidate returns the voter with the longest log among those that a quorum would follow, or nil.
func candidate(group []running) *model.Member {
	var able []*model.Member
	for _, r := range group {
		if m := r.member(); m.State().Votes(m.ID) && hasQuorum(group, r) {
			able = append(able, m)
		}
	}
	if len(able) == 0 {
		return nil
	}
	return slices.MinFunc(able, func(a, b *model.Member) int {
		return cmp.Or(cmp.Compare(b.LastTerm(), a.LastTerm()), cmp.Compare(b.Index, a.Index), cmp.Compare(a.Name, b.Name))
	})
}

// hasQuorum tells whether a member reaches a quorum of its own list, with logs that do not contradict its own.
func hasQuorum(group []running, one running) bool {
	m, votes := one.member(), 0
	for _, r := range group {
		if m.State().Votes(r.member().ID) && m.Last.Holds(r.member().Last) && one.reaches(r) {
			votes++
		}
	}
	return votes >= m.State().Quorum()
}

// lead begins a new term. The first leader begins the log with one entry for each member, as etcd does.
func lead(w *World, group []running, leader *model.Member) {
	for _, r := range group {
		leader.Term = max(leader.Term, r.member().Term)
		r.process().Leader = ""
	}
	leader.Term++
	s := leader.State()
	if leader.Last == nil {
		w.histories++
		s.Revision, s.Content = 1, model.Digest("history", leader.Cluster, string(rune('a'+w.histories)))
		for _, r := range group {
			if own := model.MinorOf(r.process().Version); s.Version == 0 || own < s.Version {
				s.Version = own
			}
		}
		leader.Index = uint64(len(s.Members))
		for _, r := range group {
			r.member().Storage = s.Version
		}
	}
	leader.Append(1, s)
	for _, r := range group {
		if r.member() == leader {
			r.process().Leader = leader.ID
		}
	}
}

// publish records in the list who a member is and where its clients reach it, as each member does when it starts.
func publish(leader *model.Member, p *model.Process) {
	l := leader.State().Members[leader.State().Find(p.Member.ID)]
	urls := strings.Split(p.Flags["advertise-client-urls"], ",")
	if l.Name == p.Flags["name"] && slices.Equal(l.ClientURLs, urls) {
		return
	}
	l.Name, l.ClientURLs = p.Flags["name"], urls
	leader.Append(1, leader.State().With(l))
}

// within returns how far a member has come in its leader's log.
func (r running) within(leader *model.Member) uint64 {
	behind := r.host.Lag
	if r.process().Catching {
		behind = max(behind, leader.Index/2)
	}
	if r.member() == leader {
		behind = 0
	}
	return leader.Index - min(behind, leader.Index)
}
