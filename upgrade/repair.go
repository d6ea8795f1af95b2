package upgrade

import (
	"context"
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Health is what is the matter with a member, in one word that a plan can show.
type Health string

// Healths of a member.
const (
	Healthy     Health = "healthy"     // a linearizable read through it succeeds
	Unhealthy   Health = "unhealthy"   // it runs, and such a read fails
	Stopped     Health = "stopped"     // its unit does not run
	Missing     Health = "missing"     // its host carries no part of the cluster, or its data is lost
	Foreign     Health = "foreign"     // its host carries a cluster of this name that is not this one
	Unreachable Health = "unreachable" // its host could not be asked; what it was is not known
)

// HealthOf says what is the matter with a member of the cluster that owner manages.
func HealthOf(report bootstrap.Report, owner string) Health {
	o := report.Observation
	switch {
	case report.Err != nil:
		return Unreachable
	case o == nil || o.Marker == nil:
		return Missing
	case o.Marker.Owner != owner:
		return Foreign
	case o.Unit.ActiveState != "active" && o.Unit.ActiveState != "activating":
		// A member must never start again without what it has confirmed.
		if !o.Data.HasMember {
			return Missing
		}
		return Stopped
	case o.Member.Responding && o.Member.Healthy:
		return Healthy
	}
	return Unhealthy
}

// Condition is a member and what is the matter with it.
type Condition struct {
	membership.Member
	Health Health
}

// Repair plans how the members come back to health: those that were stopped are started, and those
// that run are waited for. It refuses where more than that is the matter with any of them, with
// nothing done to the others.
func Repair(members []Condition) ([]membership.Step, error) {
	var steps []membership.Step
	healthy := 0
	for _, m := range members {
		switch m.Health {
		case Healthy:
			healthy++
		case Unhealthy:
		case Stopped:
			steps = append(steps, membership.Step{Kind: membership.Start, Member: m.Name, At: m.Address})
		default:
			return nil, &membership.Refusal{Member: m.Name, At: m.Address, Rule: fmt.Sprintf("it is %s", m.Health), Remedy: remedies[m.Health]}
		}
	}
	if healthy < len(members) {
		steps = append(steps, bootstrap.Agree(len(members)))
	}
	return steps, nil
}

// Mend brings the members of owner's cluster back to health, and returns the last look at them.
func (e *Executor) Mend(ctx context.Context, owner string) (map[string]bootstrap.Report, error) {
	w := &work{Executor: e, formation: bootstrap.Formation{Owner: owner}}
	look := func(ctx context.Context) { w.reports = e.Observe(ctx) }
	plan := func() ([]membership.Step, error) { return Repair(e.conditions(w.reports, owner)) }
	err := w.run(ctx, look, plan)
	return w.reports, err
}

// conditions are the members with what is the matter with each.
func (e *Executor) conditions(reports map[string]bootstrap.Report, owner string) []Condition {
	var conditions []Condition
	for _, m := range e.Cluster.Members {
		conditions = append(conditions, Condition{Member: m, Health: HealthOf(reports[m.Name], owner)})
	}
	return conditions
}

// remedies are what a user can do about a member that Repair cannot mend.
var remedies = map[Health]string{
	Missing:     "its host has lost its part of the cluster: this version does not rebuild members yet; the others are left as they are",
	Foreign:     "another state has taken over the hosts: find out which before anything else",
	Unreachable: "bring the host back, or its network; nothing is changed while it is not known what runs there",
}
