package nodetest

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Rule is what the world holds of every call. A call that breaks one fails the test, and is carried out all
// the same. None of them is about a cluster that is being formed, or one with a single voter, which has
// nothing to spare.
type Rule string

// Rules.
const (
	KeepQuorum    Rule = "a cluster that has its quorum does not lose it through a call"
	LeaderMoves   Rule = "a leader is not stopped or removed while another voter could lead"
	OneChange     Rule = "of learners, members that have not started and voters to be removed there is one at a time"
	CaughtUp      Rule = "a learner is promoted when it runs and is at most World.PromotableLag entries behind"
	GuardedVoter  Rule = "the marker of a learner's host says formed before it is promoted"
	NothingListed Rule = "a host is retired once its member is in no list" // see World.Lasting

	VerifiedFirst Rule = "no member is fenced before every wanted host has the snapshot, verified" // see World.Wanted
	NoneServes    Rule = "nothing is restored while a member of the old cluster that could be fenced runs"
	OneServes     Rule = "no member of the old cluster serves once the restored one was opened"
	AgreedTwice   Rule = "a restored cluster is opened once its members have agreed, and agreed again after a cold start"
	NewRevisions  Rule = "a restored cluster begins above every revision that clients have seen"
	Isolated      Rule = "clients do not reach a restored member before its host was opened"
)

// Waive turns rules off, for a test that wants one broken.
func (w *World) Waive(rules ...Rule) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, rule := range rules {
		w.waived[rule] = true
	}
}

// broken fails the test.
func (c call) broken(rule Rule, format string, args ...any) {
	if !c.world.waived[rule] {
		c.world.t.Errorf("nodetest: %s: %s, and %s", c.Address, fmt.Sprintf(format, args...), rule)
	}
}

// isFormed tells whether the host says that its member votes, and no restore is under way.
func (c call) isFormed() bool {
	part := c.on(c.cluster)
	return part.marker != nil && part.marker.Phase == api.PhaseFormed && part.restore == nil
}

// keepingQuorum carries out what may cost a quorum.
func (c call) keepingQuorum(what string, do func()) {
	p := c.on(c.cluster).unit.process
	if p == nil || p.leader == "" || !c.isFormed() || len(p.member.state().voters()) == 1 {
		do()
		return
	}
	cluster := p.member.cluster
	do()
	for _, group := range c.world.groups() {
		if group[0].member().cluster == cluster && leaderOf(group) != nil {
			return
		}
	}
	c.broken(KeepQuorum, "%s has cost cluster %s its quorum", what, c.cluster)
}

// leaderStays holds that a leader is spared that another voter could follow.
func (c call) leaderStays(leader *member, what string) {
	s := leader.state()
	if !c.isFormed() || len(s.voters()) == 1 {
		return
	}
	for _, id := range s.voters() {
		if r := c.reached(id); r != nil && id != leader.id && r.process().serves {
			c.broken(LeaderMoves, "%s: it leads, and %s could", what, r.member().name)
			return
		}
	}
}

// oneChange holds that no change of membership begins while another is under way.
func (c call) oneChange(s state, what string) {
	for _, l := range s.members {
		if l.learner || l.name == "" {
			c.broken(OneChange, "%s: %s (%s) is a learner, or has not started", what, l.peerURL, l.id)
			return
		}
	}
}

// mayVote holds what has to be so before a learner is promoted; learner is nil where it does not run.
func (c call) mayVote(leader *member, l listed, learner *running) {
	what := fmt.Sprintf("promote %s (%s)", l.peerURL, l.id)
	switch {
	case learner == nil:
		c.broken(CaughtUp, "%s: it is not connected", what)
		return
	case leader.index-learner.member().index > c.world.PromotableLag:
		c.broken(CaughtUp, "%s: it has entry %d of %d", what, learner.member().index, leader.index)
	}
	if marker := learner.part.marker; marker == nil || marker.Phase != api.PhaseFormed {
		c.broken(GuardedVoter, "%s: its host's marker is %+v", what, marker)
	}
}

// halt stops the unit, for a call.
func (c call) halt(part *installation, what string) {
	if p := part.unit.process; p != nil && p.leader == p.member.id {
		c.leaderStays(p.member, what)
	}
	c.note(part)
	c.keepingQuorum(what, func() {
		part.unit.stop()
		c.world.convene()
	})
}

// unlisted holds that a cluster that is to last is not retired from under itself.
func (c call) unlisted(part *installation) {
	if p := part.unit.process; c.world.Lasting && c.isFormed() && p != nil && p.leader != "" {
		c.broken(NothingListed, "retire: %s is a member of cluster %s", p.member.name, c.cluster)
	}
}
