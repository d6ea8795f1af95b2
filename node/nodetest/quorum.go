package nodetest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// running is a member whose process runs, and where.
type running struct {
	host *Host
	part *installation
}

func (r running) process() *process { return r.part.unit.process }
func (r running) member() *member   { return r.part.unit.process.member }

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
		if p := part.unit.process; p != nil {
			at := network{cluster: p.member.cluster}
			if h.CutOff || !h.heard(p) {
				at.alone = h.Address
			}
			groups[at] = append(groups[at], running{h, part})
		}
	})
	return groups
}

// group are the running members that the one on this host reaches, itself included.
func (h *Host) group(p *process) []running {
	at := network{cluster: p.member.cluster}
	if h.CutOff || h.unheard(p.member.cluster) {
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
func leaderOf(group []running) *member {
	for _, r := range group {
		if r.process().leader == r.member().id {
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
		if gone := leaderOf(group); gone != nil && !gone.state().votes(gone.id) {
			for _, r := range group { // they have agreed that it goes
				r.member().follow(gone, r.within(gone))
			}
		}
		serves := func(r running) bool { return r.process().serves }
		if leader = candidate(group); leader != nil && !w.waited && len(group) < len(leader.state().members) && !slices.ContainsFunc(group, serves) {
			leader = nil // which members that start at once are the first is anybody's guess, and no test is to depend on it
		}
		if leader != nil {
			lead(w, group, leader)
		}
	}
	if leader == nil {
		for _, r := range group {
			r.process().leader = ""
		}
		return
	}
	var together []running
	for _, r := range group {
		switch m := r.member(); {
		case leader.state().find(m.id) < 0:
			r.part.unit.leave("the member has been permanently removed from the cluster")
		case !leader.last.holds(m.last):
			r.part.unit.crash("panic: conflict(4) with entry [committed]: the log of this member contradicts the leader's")
		default:
			together = append(together, r)
		}
	}
	for _, r := range together {
		publish(leader, r.process())
	}
	for _, r := range together {
		p := r.process()
		p.member.follow(leader, r.within(leader))
		p.leader = leader.id
		if p.stalled {
			continue
		}
		p.serves = true
		r.part.unit.active, r.part.unit.sub = "active", "running"
	}
}

// incumbent is the leader that has its quorum still; nil: there is none.
func incumbent(group []running) *member {
	var best *member
	for _, r := range group {
		m := r.member()
		if r.process().leader == m.id && m.state().votes(m.id) && hasQuorum(group, m) && (best == nil || m.term > best.term) {
			best = m
		}
	}
	return best
}

// candidate is the voter with the longest log of those that a quorum would follow; nil: there is none.
func candidate(group []running) *member {
	var able []*member
	for _, r := range group {
		if m := r.member(); m.state().votes(m.id) && hasQuorum(group, m) {
			able = append(able, m)
		}
	}
	if len(able) == 0 {
		return nil
	}
	return slices.MinFunc(able, func(a, b *member) int {
		return cmp.Or(cmp.Compare(b.lastTerm(), a.lastTerm()), cmp.Compare(b.index, a.index), cmp.Compare(a.name, b.name))
	})
}

// hasQuorum tells whether enough of a member's own list are there whose logs do not contradict its own.
func hasQuorum(group []running, m *member) bool {
	votes := 0
	for _, r := range group {
		if m.state().votes(r.member().id) && m.last.holds(r.member().last) {
			votes++
		}
	}
	return votes >= m.state().quorum()
}

// lead begins a new term. The first leader of all begins the log: one entry for each member, as etcd does.
func lead(w *World, group []running, leader *member) {
	for _, r := range group {
		leader.term = max(leader.term, r.member().term)
		r.process().leader = ""
	}
	leader.term++
	s := leader.state()
	if leader.last == nil {
		w.histories++
		s.revision, s.content = 1, digest("history", leader.cluster, string(rune('a'+w.histories)))
		for _, r := range group {
			if own := minorOf(r.process().version); s.version == 0 || own < s.version {
				s.version = own
			}
		}
		leader.index = uint64(len(s.members))
		for _, r := range group {
			r.member().storage = s.version
		}
	}
	leader.append(1, s)
	for _, r := range group {
		if r.member() == leader {
			r.process().leader = leader.id
		}
	}
}

// publish has the list say who a member is and where its clients reach it, as every member sees to when it
// starts.
func publish(leader *member, p *process) {
	l := leader.state().members[leader.state().find(p.member.id)]
	urls := strings.Split(p.flags["advertise-client-urls"], ",")
	if l.name == p.flags["name"] && slices.Equal(l.clientURLs, urls) {
		return
	}
	l.name, l.clientURLs = p.flags["name"], urls
	leader.append(1, leader.state().with(l))
}

// within is how far a member has come in its leader's log.
func (r running) within(leader *member) uint64 {
	behind := r.host.Lag
	if r.process().catching {
		behind = max(behind, leader.index/2)
	}
	if r.member() == leader {
		behind = 0
	}
	return leader.index - min(behind, leader.index)
}
