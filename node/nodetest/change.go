package nodetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
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
	i := s.At(r.PeerURL)
	if i >= 0 && !s.Members[i].Learner {
		return api.AddedLearner{}, refuse("add learner %s: voter %s (%s) has this peer URL; remove it first", r.PeerURL, s.Members[i].Name, s.Members[i].ID)
	}
	// This comes first, so that it is known whose learner that is, whatever becomes of the call.
	c.on(c.cluster).marker.Added = appendOnce(c.on(c.cluster).marker.Added, r.PeerURL)
	if i >= 0 {
		return api.AddedLearner{ID: s.Members[i].ID, Members: s.List()}, nil
	}
	c.oneChange(s, "add learner "+r.PeerURL)
	c.world.mustBeLetIn(leader.Cluster, r.PeerURL)
	connected := c.connected(s)
	for _, l := range s.Members {
		if l.Learner {
			return api.AddedLearner{}, refuse("add learner %s: the cluster has a learner already, and takes one at a time", r.PeerURL)
		}
	}
	// The new member counts as a voter that is down. A cluster of one may always be added to.
	if voters := len(s.Voters()); voters > 1 && connected < (voters+1)/2+1 {
		return api.AddedLearner{}, failed("add learner %s: etcdserver: unhealthy cluster", r.PeerURL)
	}
	added := model.Listed{ID: model.Identity("member", r.PeerURL, leader.Cluster, fmt.Sprint(leader.Index)), PeerURL: r.PeerURL, Learner: true}
	leader.Append(1, s.With(added))
	c.world.convene()
	return api.AddedLearner{ID: added.ID, Members: leader.State().List()}, nil
}

// removeMember removes a member through the local one. It is done if the member is gone.
func (c call) removeMember(r api.RemoveMemberRequest) (api.Done, error) {
	if _, err := api.ParseID(r.ID); err != nil {
		return api.Done{}, err
	}
	leader, s, err := c.changing(r.Owner, r.Timeout)
	if err != nil {
		return api.Done{}, err
	}
	if r.ID == c.on(c.cluster).unit.Process.Member.ID {
		return api.Done{}, refuse("remove member %s: it is the one that was asked; ask another voter", r.ID)
	}
	i := s.Find(r.ID)
	if i < 0 {
		return api.Done{}, nil
	}
	target := s.Members[i]
	what := fmt.Sprintf("remove member %s (%s)", target.Name, r.ID)
	if !target.Learner {
		if why := c.mayRemove(s, target); why != "" {
			return api.Done{}, failed("%s: etcdserver: %s", what, why)
		}
		// A member whose host nobody can reach is as good as dead, whatever it still does.
		if r := c.reached(r.ID); r != nil && r.host.Unreachable == nil && !c.world.struck[r.host.Address] {
			c.oneChange(s, what)
		}
		if leader.ID == r.ID {
			c.leaderStays(leader, what)
		}
	}
	c.keepingQuorum(what, func() {
		leader.Append(1, s.Without(r.ID))
		c.world.convene()
	})
	c.world.moment()
	return api.Done{}, nil
}

// mayRemove returns why a voter cannot be removed, in etcd's words, or "" if it can be.
func (c call) mayRemove(s model.State, target model.Listed) string {
	started := 0
	for _, l := range s.Members {
		if !l.Learner && l.ID != target.ID && l.Name != "" {
			started++
		}
	}
	if started < (len(s.Voters())-1)/2+1 {
		return "re-configuration failed due to not enough started members"
	}
	if c.isConnected(target.ID) && c.connected(s)-1 < 1+(len(s.Voters())-1)/2 {
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
	i := s.Find(r.ID)
	switch {
	case i < 0:
		return api.Done{}, failed("promote %s: etcdserver: member not found", r.ID)
	case !s.Members[i].Learner:
		return api.Done{}, nil
	}
	learner := c.reached(r.ID)
	c.mayVote(leader, s.Members[i], learner)
	if learner == nil || float64(learner.member().Index) < 0.9*float64(leader.Index) {
		return api.Done{}, refuse("promote %s: it has not caught up with the leader: etcdserver: can only promote a learner member which is in sync with leader", r.ID)
	}
	voter := s.Members[i]
	voter.Learner = false
	learner.process().Settling = true
	leader.Append(1, s.With(voter))
	c.world.convene()
	c.world.moment()
	return api.Done{}, nil
}

// moveLeader moves the leadership away from the local member, if it leads.
func (c call) moveLeader(r api.MoveLeaderRequest) (api.Done, error) {
	if _, err := api.ParseID(r.To); err != nil {
		return api.Done{}, err
	}
	p, err := c.voter(r.Owner)
	if err != nil {
		return api.Done{}, err
	}
	if !p.Member.State().Votes(r.To) { // its own list, whoever leads
		return api.Done{}, refuse("move the leadership to member %s: it is no voter of this cluster", r.To)
	}
	leader := p.Member
	if p.Leader != leader.ID || leader.ID == r.To {
		return api.Done{}, nil
	}
	to := c.reached(r.To)
	if to == nil {
		return api.Done{}, failed("move the leadership to %s: etcdserver: bad leader transferee", r.To)
	}
	// It is brought to the end of the log first.
	to.member().Follow(leader, leader.Index)
	lead(c.world, c.local().group(), to.member())
	c.world.convene()
	return api.Done{}, nil
}

// downgrade enables a downgrade of the cluster, or cancels one.
func (c call) downgrade(r api.DowngradeRequest) (api.Done, error) {
	if minor := model.MinorOf(r.Version); r.Version != "" && (minor == 0 || minor.String() != r.Version+".0") {
		return api.Done{}, refuse("%q is no minor version to downgrade to: give one like 3.6", r.Version)
	}
	p, err := c.voter(r.Owner)
	if err != nil {
		return api.Done{}, err
	}
	target, known := model.MinorOf(r.Version), p.Member.State()
	switch {
	case target == known.Downgrade:
		return api.Done{}, nil
	case target != 0 && known.Downgrade != 0:
		return api.Done{}, refuse("downgrade to %s: a downgrade to %s is under way; finish or cancel that first", r.Version, known.Downgrade)
	}
	leader, err := c.leader()
	if err != nil {
		return api.Done{}, err
	}
	s := leader.State()
	if r.Version != "" && target != s.Version-1 {
		return api.Done{}, refuse("downgrade to %s: etcd goes down by one minor version at a time: etcdserver: invalid downgrade target version", r.Version)
	}
	s.Downgrade = target
	leader.Append(1, s)
	c.world.convene()
	c.world.moment()
	return api.Done{}, nil
}

// changing returns who leads the local member's cluster, and what the cluster has agreed on, for a call of its owner
// that changes this.
func (c call) changing(owner string, timeout time.Duration) (*model.Member, model.State, error) {
	if err := api.CheckTimeout(timeout); err != nil {
		return nil, model.State{}, err
	}
	if _, err := c.voter(owner); err != nil {
		return nil, model.State{}, err
	}
	leader, err := c.leader()
	if err != nil {
		return nil, model.State{}, err
	}
	return leader, leader.State(), nil
}

// voter returns the local member, for a call of its owner that a voter answers by itself.
func (c call) voter(owner string) (*model.Process, error) {
	if err := c.mayChange(owner); err != nil {
		return nil, err
	}
	p := c.on(c.cluster).unit.Process
	switch why := c.on(c.cluster).unidentified(); {
	case why != "":
		return nil, failed("%s", why)
	case p == nil:
		return nil, failed("ask the local member: connect: connection refused")
	case !p.Answers():
		return nil, failed("ask the local member: context deadline exceeded")
	case !p.Member.State().Votes(p.Member.ID):
		return nil, refuse("member %s is a learner, through which nothing of the cluster can be changed or saved: ask a voter", p.Member.Name)
	}
	return p, nil
}

// leader returns who leads the cluster of the local member, which answers, for what has to be agreed on.
func (c call) leader() (*model.Member, error) {
	p := c.on(c.cluster).unit.Process
	if p.Leader == "" {
		return nil, failed("ask the local member: etcdserver: no leader")
	}
	return leaderOf(c.local().group()), nil
}

// local returns the member on this host, which runs.
func (c call) local() running { return running{c.Host, c.on(c.cluster)} }

// reached returns the running member of this ID that the local one is connected to, or nil.
func (c call) reached(id string) *running {
	for _, r := range c.local().group() {
		if r.member().ID == id {
			return &r
		}
	}
	return nil
}

func (c call) isConnected(id string) bool { return c.reached(id) != nil }

// connected counts the voters that the local member is connected to, itself included.
func (c call) connected(s model.State) int {
	n := 0
	for _, id := range s.Voters() {
		if c.isConnected(id) {
			n++
		}
	}
	return n
}

// disarm defragments the local database, and disarms the NOSPACE alarm that the member has raised.
func (c call) disarm(r api.DisarmRequest) (api.Done, error) {
	p, err := c.voter(r.Owner)
	if err != nil {
		return api.Done{}, err
	}
	if r.Corrupt {
		return c.dropAlarms(func(alarm string) bool { return strings.HasPrefix(alarm, "CORRUPT ") })
	}
	if size, used := p.Member.Size(); size-used > size/4 || size > used && size >= p.Quota() {
		if c.dataFree() < used {
			return api.Done{}, refuse("%s has %d MiB free, and the copy of the database that a defragmentation makes wants %d MiB: free some space", c.on(c.cluster).marker.DataDir, c.dataFree()>>20, used>>20)
		}
		p.Member.DBSize = 0
	}
	if !r.Alarms {
		return api.Done{}, nil
	}
	if size, _ := p.Member.Size(); size >= p.Quota() {
		return api.Done{}, refuse("disarm the alarm that member %s has no space: its database has %d bytes, and its quota is %d: delete keys and compact, or raise the quota", p.Member.Name, size, p.Quota())
	}
	return c.dropAlarms(func(alarm string) bool {
		id, space := strings.CutPrefix(alarm, "NOSPACE ")
		return space && (id == p.Member.ID || p.Member.State().Find(id) < 0)
	})
}

// dropAlarms disarms the given alarms of the cluster.
func (c call) dropAlarms(meant func(string) bool) (api.Done, error) {
	leader, err := c.leader()
	if err != nil {
		return api.Done{}, err
	}
	s, left := leader.State(), []string(nil)
	for _, alarm := range s.Alarms {
		if !meant(alarm) {
			left = append(left, alarm)
		}
	}
	if len(left) < len(s.Alarms) {
		s.Alarms = left
		leader.Append(1, s)
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
