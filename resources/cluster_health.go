package resources

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// Values of status.
const (
	statusHealthy  = "healthy"
	statusDegraded = "degraded"
	statusNoQuorum = "no quorum"
	statusUnknown  = "unknown"
)

// healthStranger is the health of a member that etcd's own list has and no configuration knows.
const healthStranger = "stranger"

// healthRemoved is the health of a member that does not run because etcd's list has it no longer.
const healthRemoved = "removed"

// dropStrangers leaves the members that a configuration knows.
func dropStrangers(members map[string]memberModel) {
	maps.DeleteFunc(members, func(_ string, m memberModel) bool { return m.Health.ValueString() == healthStranger })
}

// healths are the members' healths by name.
func healths(members map[string]memberModel) map[string]upgrade.Health {
	found := map[string]upgrade.Health{}
	for name, m := range members {
		found[name] = upgrade.Health(m.Health.ValueString())
	}
	return found
}

// statusOf sums up the health of all members. One member that serves a linearizable read proves a
// quorum, whatever is known of the others; hosts that could not be asked may be one.
func statusOf(healths map[string]upgrade.Health) string {
	counts := map[upgrade.Health]int{}
	for _, health := range healths {
		counts[health]++
	}
	switch {
	case counts[upgrade.Healthy] == len(healths):
		return statusHealthy
	case counts[upgrade.Healthy] > 0:
		return statusDegraded
	case counts[upgrade.Unreachable] >= membership.Quorum(len(healths)):
		return statusUnknown
	}
	return statusNoQuorum
}

// errNotAsked says that a repair has to wait until every host can be asked.
var errNotAsked = errors.New("not every host could be asked")

// repair plans how the members come back to health from what the last look found. Where hosts could
// not be asked nothing is planned, since it is not known what runs there; it is an error only if
// there would be something to do.
func repair(spec membership.Spec, observed map[string]upgrade.Health) ([]membership.Step, error) {
	for _, name := range slices.Sorted(maps.Keys(observed)) {
		switch observed[name] {
		case healthStranger:
			return nil, &membership.Refusal{Member: name, Rule: "it is in etcd's member list, and this configuration does not know it",
				Remedy: "find out who added it; if it has no business there, remove it on one of the hosts with etcdctl member remove"}
		case healthRemoved:
			return nil, &membership.Refusal{Member: name, Rule: "somebody has removed it from etcd's member list",
				Remedy: "this version does not rebuild members yet; the others are left as they are"}
		}
	}
	if lost(observed) {
		return nil, errors.New("no host carries its member any more: somebody has taken the cluster off all of them. If that was meant, " +
			"remove it from the state (terraform state rm) and apply to form a new one; if not, bring the hosts back first")
	}
	var conditions []upgrade.Condition
	for _, m := range spec.Members {
		conditions = append(conditions, upgrade.Condition{Member: m, Health: observed[m.Name]})
	}
	steps, err := upgrade.Repair(conditions)
	if !slices.Contains(slices.Collect(maps.Values(observed)), upgrade.Unreachable) {
		return steps, err
	}
	if onlyUnreachable(observed) {
		return nil, nil
	}
	return nil, fmt.Errorf("%w: %w", errNotAsked, err)
}

// onlyUnreachable tells whether every host that could be asked is well.
func onlyUnreachable(observed map[string]upgrade.Health) bool {
	for _, health := range observed {
		if health != upgrade.Healthy && health != upgrade.Unreachable {
			return false
		}
	}
	return true
}

// lost tells whether every host answered, and none carries the cluster.
func lost(healths map[string]upgrade.Health) bool {
	for _, health := range healths {
		if health != upgrade.Missing {
			return false
		}
	}
	return len(healths) > 0
}
