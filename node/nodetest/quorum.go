package nodetest

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// running is a member whose process runs, and where.
type running struct {
	host *Host
	part *installation
}

func (r running) process() *model.Process { return r.part.unit.Process }
func (r running) member() *model.Member   { return r.part.unit.Process.Member }

// network is a cluster, by its ID, as far as its members reach each other.
type network struct {
	cluster string
	alone   string // address of the host that is cut off; empty: it is that of all that are not
}

func (n network) compare(other network) int {
	return cmp.Or(cmp.Compare(n.cluster, other.cluster), cmp.Compare(n.alone, other.alone))
}

// groups are the running members that reach each other, in the order of their addresses.
func (w *World) groups() map[network][]running {
	groups := map[network][]running{}
	w.each(func(h *Host, part *installation) {
		if p := part.unit.Process; p != nil {
			at := network{cluster: p.Member.Cluster}
			if h.CutOff || !h.heard(p) {
				at.alone = h.Address
			}
			groups[at] = append(groups[at], running{h, part})
		}
	})
	return groups
}

// group are the running members that the one on this host reaches, itself included.
func (h *Host) group(p *model.Process) []running {
	at := network{cluster: p.Member.Cluster}
	if h.CutOff || h.unheard(p.Member.Cluster) {
		at.alone = h.Address
	}
	return h.world.groups()[at]
}

// convene has the running members of each cluster find out whether they are a quorum.
func (w *World) convene() {
	groups := w.groups()
	for _, at := range slices.SortedFunc(maps.Keys(groups), network.compare) {
		elect(w, groups[at])
	}
	w.oneServes()
}

// leaderOf is the member that leads a group; nil: none does.
func leaderOf(group []running) *model.Member {
	for _, r := range group {
		if r.process().Leader == r.member().ID {
			return r.member()
		}
	}
	return nil
}

// elect has running members of one cluster find a leader, if a quorum is among them, and follow it. A
// leader stays one as long as it has its quorum.
func elect(w *World, group []running) {
	leader := incumbent(group)
	if leader == nil {
		if gone := leaderOf(group); gone != nil && !gone.State().Votes(gone.ID) {
			for _, r := range group { // they have agreed that it goes
				r.member().Follow(gone, r.within(gone))
			}
		}
		serves := func(r running) bool { return r.process().Serves }
		if leader = candidate(group); leader != nil && !w.waited && len(group) < len(leader.State().Members) && !slices.ContainsFunc(group, serves) {
			leader = nil // which members that start at once are the first is anybody's guess, and no test is to depend on it
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
	var together []running
	for _, r := range group {
		switch m := r.member(); {
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

// incumbent is the leader that has its quorum still; nil: there is none.
func incumbent(group []running) *model.Member {
	var best *model.Member
	for _, r := range group {
		m := r.member()
		if r.process().Leader == m.ID && m.State().Votes(m.ID) && hasQuorum(group, m) && (best == nil || m.Term > best.Term) {
			best = m
		}
	}
	return best
}

// candidate is the voter with the longest log of those that a quorum would follow; nil: there is none.
func candidate(group []running) *model.Member {
	var able []*model.Member
	for _, r := range group {
		if m := r.member(); m.State().Votes(m.ID) && hasQuorum(group, m) {
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

// hasQuorum tells whether enough of a member's own list are there whose logs do not contradict its own.
func hasQuorum(group []running, m *model.Member) bool {
	votes := 0
	for _, r := range group {
		if m.State().Votes(r.member().ID) && m.Last.Holds(r.member().Last) {
			votes++
		}
	}
	return votes >= m.State().Quorum()
}

// lead begins a new term. The first leader of all begins the log: one entry for each member, as etcd does.
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

// publish has the list say who a member is and where its clients reach it, as every member sees to when it
// starts.
func publish(leader *model.Member, p *model.Process) {
	l := leader.State().Members[leader.State().Find(p.Member.ID)]
	urls := strings.Split(p.Flags["advertise-client-urls"], ",")
	if l.Name == p.Flags["name"] && slices.Equal(l.ClientURLs, urls) {
		return
	}
	l.Name, l.ClientURLs = p.Flags["name"], urls
	leader.Append(1, leader.State().With(l))
}

// within is how far a member has come in its leader's log.
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
