package nodetest

import (
	"fmt"
	"strconv"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
)

// Rule is something that has to hold at every call. A call that breaks a rule fails the test, and is carried out all
// the same. No rule is about a cluster that is being formed, or one with a single voter, which has nothing to spare.
type Rule string

const (
	KeepQuorum     Rule = "a cluster that has its quorum does not lose it through a call"
	LeaderMoves    Rule = "a leader is not stopped or removed while another voter could lead"
	OneChange      Rule = "of learners, members that have not started and voters to be removed there is one at a time"
	CaughtUp       Rule = "a learner is promoted when it runs and is at most World.PromotableLag entries behind"
	GuardedVoter   Rule = "the marker of a learner's host says formed before it is promoted"
	TrustEachOther Rule = "running members that trust each other's certificates do so after every call"
	HoldsThere     Rule = "a host is given certificates that hold by its own clock"
	NothingListed  Rule = "a host is retired, or its data set aside, once its member is in no list" // see World.Lasting

	VerifiedFirst Rule = "no member is fenced before every wanted host has the snapshot, verified" // see World.Wanted
	NoneServes    Rule = "nothing is restored while a member of the old cluster that could be fenced runs"
	OneServes     Rule = "no member of the old cluster serves once the restored one was opened"
	AgreedTwice   Rule = "a restored cluster is opened once its members have agreed, and agreed again after a cold start"
	NewRevisions  Rule = "a restored cluster begins above every revision that clients have seen"
	Isolated      Rule = "clients do not reach a restored member before its host was opened"
)

// Waive turns rules off, for a test that breaks them on purpose.
func (w *World) Waive(rules ...Rule) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, rule := range rules {
		w.waived[rule] = true
	}
}

// broken fails the test, unless the rule is waived.
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

// keepingQuorum carries out something that may cost a quorum.
func (c call) keepingQuorum(what string, do func()) {
	p := c.on(c.cluster).unit.Process
	if p == nil || p.Leader == "" || !c.isFormed() || len(p.Member.State().Voters()) == 1 {
		do()
		return
	}
	cluster := p.Member.Cluster
	do()
	for _, group := range c.world.groups() {
		if group[0].member().Cluster == cluster && leaderOf(group) != nil {
			return
		}
	}
	c.broken(KeepQuorum, "%s has cost cluster %s its quorum", what, c.cluster)
}

// leaderStays fails the test if a call stops a leader that another voter could replace.
func (c call) leaderStays(leader *model.Member, what string) {
	s := leader.State()
	if !c.isFormed() || len(s.Voters()) == 1 {
		return
	}
	for _, id := range s.Voters() {
		if r := c.reached(id); r != nil && id != leader.ID && r.process().Answers() {
			c.broken(LeaderMoves, "%s: it leads, and %s could", what, r.member().Name)
			return
		}
	}
}

// oneChange fails the test if a change of membership begins while another is under way.
func (c call) oneChange(s model.State, what string) {
	for _, l := range s.Members {
		if l.Learner || l.Name == "" {
			c.broken(OneChange, "%s: %s (%s) is a learner, or has not started", what, l.PeerURL, l.ID)
			return
		}
	}
}

// mayVote fails the test if a learner may not be promoted yet; learner is nil if it does not run.
func (c call) mayVote(leader *model.Member, l model.Listed, learner *running) {
	what := fmt.Sprintf("promote %s (%s)", l.PeerURL, l.ID)
	switch {
	case learner == nil:
		c.broken(CaughtUp, "%s: it is not connected", what)
		return
	case leader.Index-learner.member().Index > c.world.PromotableLag:
		c.broken(CaughtUp, "%s: it has entry %d of %d", what, learner.member().Index, leader.Index)
	}
	if marker := learner.part.marker; marker == nil || marker.Phase != api.PhaseFormed {
		c.broken(GuardedVoter, "%s: its host's marker is %+v", what, marker)
	}
}

// halt stops the unit, for a call.
func (c call) halt(part *installation, what string) {
	if p := part.unit.Process; p != nil && p.Leader == p.Member.ID {
		c.leaderStays(p.Member, what)
	}
	c.note(part)
	c.keepingQuorum(what, func() {
		part.unit.Stop()
		c.world.convene()
	})
}

// unlisted fails the test if a host is retired, or its data set aside, whose member is still listed in a cluster that
// is to last.
func (c call) unlisted(part *installation, what string) {
	if p := part.unit.Process; c.world.Lasting && c.isFormed() && p != nil && p.Leader != "" {
		c.broken(NothingListed, "%s: %s is a member of cluster %s", what, p.Member.Name, c.cluster)
	}
}

// trusts tells whether a member accepts the peer certificate of another one. A member reads the authorities once, when
// its process starts, and its certificates at each handshake, unless it goes on serving old ones.
func (r running) trusts(other running) bool {
	return signing.IsOf(other.shown(), r.process().PeerCA) && r.takes(other)
}

// shown returns the certificate that a member shows its peers.
func (r running) shown() string {
	if shows := r.process().Shows; shows != nil {
		return shows[api.KeyPeer]
	}
	return r.part.certificates[api.KeyPeer]
}

// takes tells whether a member accepts the common name in the certificate that another one shows.
func (r running) takes(other running) bool {
	name := r.process().Flags["peer-cert-allowed-cn"]
	return name == "" || r.member() == other.member() || signing.CommonName(other.shown()) == name
}

// reaches tells whether two members accept each other's common names. A member that does not accept the other's ends
// the connections of both: those that it opens, and those that it is asked for.
func (r running) reaches(other running) bool { return r.takes(other) && other.takes(r) }

// estranged returns the pairs of running members of a cluster of which one does not accept the other's certificate.
func (w *World) estranged(cluster string) map[string]bool {
	var all []running
	w.each(func(h *Host, part *installation) {
		if p := part.unit.Process; p != nil && p.Member.Cluster == cluster {
			all = append(all, running{h, part})
		}
	})
	pairs := map[string]bool{}
	for _, a := range all {
		for _, b := range all {
			if a != b && !a.trusts(b) {
				pairs[fmt.Sprintf("%s does not trust %s", a.host.Address, b.host.Address)] = true
			}
		}
	}
	return pairs
}

// keepingTrust carries out a call, and fails the test if members that trusted each other before no longer do.
func (c call) keepingTrust(do func() (any, error)) (any, error) {
	marker := c.on(c.cluster).marker
	if marker == nil || marker.ClusterID == "" || !c.isFormed() {
		return do()
	}
	before := c.world.estranged(marker.ClusterID)
	answer, err := do()
	for pair := range c.world.estranged(marker.ClusterID) {
		if !before[pair] {
			c.broken(TrustEachOther, "%s", pair)
		}
	}
	return answer, err
}

// bootID returns the ID of the host's boot.
func (h *Host) bootID() string {
	return model.Digest("boot", h.MachineID, h.Address, strconv.Itoa(h.boots))
}

// lockless tells whether a call is carried out without the cluster's lock.
func lockless(op api.Operation) bool {
	return op.ReadOnly() || op == api.OpSave || op == api.OpRunNow
}

// meant refuses a call that is meant for another machine, or another member on it, as a real host does.
func (h *Host) meant(cluster string, t *api.Target) error {
	if t == nil {
		return refuse("%s", api.Untargeted)
	}
	if err := t.Elsewhere(h.MachineID, h.bootID()); err != nil {
		return err
	}
	carried := api.Marker{}
	if marker := h.on(cluster).marker; marker != nil {
		carried = *marker
	}
	return t.Differs(carried)
}

// demand is a store that a run of a cluster demands.
type demand struct{ cluster, store string }
