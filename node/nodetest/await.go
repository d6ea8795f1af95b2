package nodetest

import (
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// patience is how often a call that waits lets some time pass, before its own time is over.
const patience = 8

// lostRestarts is how many starts in vain make a member one that does not come.
const lostRestarts = 3

// await lets time pass until the member is ready, will not come, or is stalled, and answers what it then observes.
func (c call) await(ask api.AwaitRequest) (api.Observation, error) {
	if err := api.CheckTimeout(ask.Timeout); err != nil {
		return api.Observation{}, err
	}
	before := c.on(c.cluster).unit.Restarts
	gained := false
	for left := patience; left > 0; left-- {
		reading := c.Reading
		c.world.pass()
		if c.Reading < reading { // it comes further, and has all of its time anew
			left, gained = patience, true
		}
		// A start by hand begins to count anew.
		u := &c.on(c.cluster).unit
		before = min(before, u.Restarts)
		if u.Active == "failed" || u.Restarts >= before+lostRestarts || isReady(u, c.view(c.cluster), ask) {
			break
		}
		if p := u.Process; ask.Stalled && p != nil && p.Stalled && p.Leader != "" {
			o, err := c.observe(ask.ObserveRequest)
			o.Stalled = true
			return o, err
		}
	}
	o, err := c.observe(ask.ObserveRequest)
	o.Gained = gained
	return o, err
}

// isReady tells whether the member is what is awaited.
func isReady(u *model.Unit, m api.Member, ask api.AwaitRequest) bool {
	if ask.Learner {
		return m.Responding && m.Leader != "" && m.Learner
	}
	if u.Active != "active" || !m.Ready || !m.Healthy {
		return false
	}
	if ask.Members == 0 {
		return true
	}
	for _, l := range m.Members {
		if l.Name == "" {
			return false
		}
	}
	return len(m.Members) == ask.Members
}
