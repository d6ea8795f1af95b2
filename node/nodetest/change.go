package nodetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// addLearner adds a learner through the local member.
func (c call) addLearner(r api.AddLearnerRequest) (api.AddedLearner, error) {
	if r.PeerURL == "" {
		return api.AddedLearner{}, refuse("no peer URL was given for the learner to add")
	}
	leader, s, err := c.changing(r.Owner, r.Timeout)
	if err != nil {
		return api.AddedLearner{}, err
	}
	i := s.at(r.PeerURL)
	if i >= 0 && !s.members[i].learner {
		return api.AddedLearner{}, refuse("add learner %s: voter %s (%s) has this peer URL; remove it first", r.PeerURL, s.members[i].name, s.members[i].id)
	}
	// First, so that whatever becomes of the call, it is known whose learner that is.
	c.on(c.cluster).marker.Added = appendOnce(c.on(c.cluster).marker.Added, r.PeerURL)
	if i >= 0 {
		return api.AddedLearner{ID: s.members[i].id, Members: s.list()}, nil
	}
	c.oneChange(s, "add learner "+r.PeerURL)
	connected := c.connected(s)
	for _, l := range s.members {
		if l.learner {
			return api.AddedLearner{}, refuse("add learner %s: the cluster has a learner already, and takes one at a time", r.PeerURL)
		}
	}
	// The new one counts as a voter that is down. A cluster of one may always be added to.
	if voters := len(s.voters()); voters > 1 && connected < (voters+1)/2+1 {
		return api.AddedLearner{}, failed("add learner %s: etcdserver: unhealthy cluster", r.PeerURL)
	}
	added := listed{id: identity("member", r.PeerURL, leader.cluster, fmt.Sprint(leader.index)), peerURL: r.PeerURL, learner: true}
	leader.append(1, s.with(added))
	c.world.convene()
	return api.AddedLearner{ID: added.id, Members: leader.state().list()}, nil
}

// removeMember removes a member through the local one. One that is gone is done.
func (c call) removeMember(r api.RemoveMemberRequest) (api.Done, error) {
	if _, err := api.ParseID(r.ID); err != nil {
		return api.Done{}, err
	}
	leader, s, err := c.changing(r.Owner, r.Timeout)
	if err != nil {
		return api.Done{}, err
	}
	if r.ID == c.on(c.cluster).unit.process.member.id {
		return api.Done{}, refuse("remove member %s: it is the one that was asked; ask another voter", r.ID)
	}
	i := s.find(r.ID)
	if i < 0 {
		return api.Done{}, nil
	}
	target := s.members[i]
	what := fmt.Sprintf("remove member %s (%s)", target.name, r.ID)
	if !target.learner {
		if why := c.mayRemove(s, target); why != "" {
			return api.Done{}, failed("%s: etcdserver: %s", what, why)
		}
		// One whose host nobody can ask is as good as dead, whatever it still does.
		if r := c.reached(r.ID); r != nil && r.host.Unreachable == nil && !c.world.struck[r.host.Address] {
			c.oneChange(s, what)
		}
		if leader.id == r.ID {
			c.leaderStays(leader, what)
		}
	}
	c.keepingQuorum(what, func() {
		leader.append(1, s.without(r.ID))
		c.world.convene()
	})
	c.world.moment()
	return api.Done{}, nil
}

// mayRemove says in etcd's words why a voter cannot be removed; empty: it can.
func (c call) mayRemove(s state, target listed) string {
	started := 0
	for _, l := range s.members {
		if !l.learner && l.id != target.id && l.name != "" {
			started++
		}
	}
	if started < (len(s.voters())-1)/2+1 {
		return "re-configuration failed due to not enough started members"
	}
	if c.isConnected(target.id) && c.connected(s)-1 < 1+(len(s.voters())-1)/2 {
		return "unhealthy cluster"
	}
	return ""
}

// promote makes a learner a voter.
func (c call) promote(r api.PromoteRequest) (api.Done, error) {
	if _, err := api.ParseID(r.ID); err != nil {
		return api.Done{}, err
	}
	leader, s, err := c.changing(r.Owner, r.Timeout)
	if err != nil {
		return api.Done{}, err
	}
	i := s.find(r.ID)
	switch {
	case i < 0:
		return api.Done{}, failed("promote %s: etcdserver: member not found", r.ID)
	case !s.members[i].learner:
		return api.Done{}, nil
	}
	learner := c.reached(r.ID)
	c.mayVote(leader, s.members[i], learner)
	if learner == nil || float64(learner.member().index) < 0.9*float64(leader.index) {
		return api.Done{}, refuse("promote %s: it has not caught up with the leader: etcdserver: can only promote a learner member which is in sync with leader", r.ID)
	}
	voter := s.members[i]
	voter.learner = false
	learner.process().settling = true
	leader.append(1, s.with(voter))
	c.world.convene()
	c.world.moment()
	return api.Done{}, nil
}

// moveLeader moves the leadership away from the local member, where it leads.
func (c call) moveLeader(r api.MoveLeaderRequest) (api.Done, error) {
	if _, err := api.ParseID(r.To); err != nil {
		return api.Done{}, err
	}
	leader, s, err := c.changing(r.Owner, leaderTime)
	if err != nil {
		return api.Done{}, err
	}
	if !s.votes(r.To) {
		return api.Done{}, refuse("move the leadership to member %s: it is no voter of this cluster", r.To)
	}
	if leader != c.on(c.cluster).unit.process.member || leader.id == r.To {
		return api.Done{}, nil
	}
	to := c.reached(r.To)
	if to == nil {
		return api.Done{}, failed("move the leadership to %s: etcdserver: bad leader transferee", r.To)
	}
	// It is brought to the end of the log first.
	to.member().follow(leader, leader.index)
	lead(c.world, c.group(to.process()), to.member())
	c.world.convene()
	return api.Done{}, nil
}

// downgrade enables a downgrade of the cluster, or cancels one.
func (c call) downgrade(r api.DowngradeRequest) (api.Done, error) {
	if line := minorOf(r.Version); r.Version != "" && (line == 0 || line.String() != r.Version+".0") {
		return api.Done{}, refuse("%q is no line of versions to go down to: give one like 3.6", r.Version)
	}
	leader, s, err := c.changing(r.Owner, leaderTime)
	if err != nil {
		return api.Done{}, err
	}
	target := minorOf(r.Version)
	switch {
	case target == s.downgrade:
		return api.Done{}, nil
	case target != 0 && s.downgrade != 0:
		return api.Done{}, refuse("downgrade to %s: a downgrade to %s is under way; finish or cancel that first", r.Version, s.downgrade)
	case r.Version != "" && (target == 0 || target != s.version-1):
		return api.Done{}, refuse("downgrade to %s: etcd goes down by one minor version at a time: etcdserver: invalid downgrade target version", r.Version)
	}
	s.downgrade = target
	leader.append(1, s)
	c.world.convene()
	c.world.moment()
	return api.Done{}, nil
}

// leaderTime is how long a host itself gives what is asked of a leader.
const leaderTime = 20 * time.Second

// changing is who leads the local member's cluster, and what that has agreed on, for a call of its owner's that changes this.
func (c call) changing(owner string, timeout time.Duration) (*member, state, error) {
	if err := api.CheckTimeout(timeout); err != nil {
		return nil, state{}, err
	}
	if err := c.mayChange(owner); err != nil {
		return nil, state{}, err
	}
	leader, err := c.leader()
	if err != nil {
		return nil, state{}, err
	}
	return leader, leader.state(), nil
}

// leader is who leads the local member's cluster, for what has to be agreed on.
func (c call) leader() (*member, error) {
	p := c.on(c.cluster).unit.process
	switch why := c.on(c.cluster).unidentified(); {
	case why != "":
		return nil, failed("%s", why)
	case p == nil:
		return nil, failed("ask the local member: connect: connection refused")
	case !p.serves:
		return nil, failed("ask the local member: context deadline exceeded")
	case !p.member.state().votes(p.member.id):
		return nil, refuse("member %s is a learner, through which nothing of the cluster can be changed or saved: ask a voter", p.member.name)
	case p.leader == "":
		return nil, failed("ask the local member: etcdserver: no leader")
	}
	return leaderOf(c.group(p)), nil
}

// reached is the running member of this ID that the local one is connected to; nil: none is.
func (c call) reached(id string) *running {
	for _, r := range c.group(c.on(c.cluster).unit.process) {
		if r.member().id == id {
			return &r
		}
	}
	return nil
}

func (c call) isConnected(id string) bool { return c.reached(id) != nil }

// connected counts the voters that the local member is connected to, itself included.
func (c call) connected(s state) int {
	n := 0
	for _, id := range s.voters() {
		if c.isConnected(id) {
			n++
		}
	}
	return n
}

// disarm defragments the local database, and disarms what it has raised for want of space.
func (c call) disarm(r api.DisarmRequest) (api.Done, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.Done{}, err
	}
	if r.Corrupt {
		return c.dropAlarms(func(alarm string) bool { return strings.HasPrefix(alarm, "CORRUPT ") })
	}
	p := c.on(c.cluster).unit.process
	switch {
	case p == nil || !p.serves:
		return api.Done{}, failed("defragment: the local member does not answer")
	case !p.member.state().votes(p.member.id):
		return api.Done{}, refuse("member %s is a learner, through which nothing of the cluster can be changed or saved: ask a voter", p.member.name)
	}
	p.member.dbSize = 0
	if !r.Alarms {
		return api.Done{}, nil
	}
	if _, used := p.member.size(); used >= p.quota() {
		return api.Done{}, refuse("the database holds %d bytes after a defragmentation, and its quota is %d: delete keys and compact, or raise the quota", used, p.quota())
	}
	return c.dropAlarms(func(alarm string) bool {
		id, space := strings.CutPrefix(alarm, "NOSPACE ")
		return space && (id == p.member.id || p.member.state().find(id) < 0)
	})
}

// dropAlarms disarms those of the cluster's alarms that are meant.
func (c call) dropAlarms(meant func(string) bool) (api.Done, error) {
	leader, err := c.leader()
	if err != nil {
		return api.Done{}, err
	}
	s, left := leader.state(), []string(nil)
	for _, alarm := range s.alarms {
		if !meant(alarm) {
			left = append(left, alarm)
		}
	}
	if len(left) < len(s.alarms) {
		s.alarms = left
		leader.append(1, s)
		c.world.convene()
	}
	return api.Done{}, nil
}

// appendOnce adds a text to a list that lacks it.
func appendOnce(list []string, text string) []string {
	for _, have := range list {
		if strings.EqualFold(have, text) {
			return list
		}
	}
	return append(list[:len(list):len(list)], text)
}
