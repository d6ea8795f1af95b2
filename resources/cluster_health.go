package resources

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

// Values of status.
const (
	statusHealthy  = "healthy"
	statusDegraded = "degraded"
	statusNoQuorum = "no_quorum"
	statusUnknown  = "unknown"
)

// Values of a member's health: what the planner calls its state, and what its role adds to that.
const (
	healthHealthy     = string(membership.Healthy)
	healthUnhealthy   = string(membership.Unhealthy)
	healthStopped     = string(membership.Stopped)
	healthMissing     = string(membership.Missing)
	healthLost        = string(membership.Lost)
	healthBlocked     = string(membership.Blocked)
	healthForeign     = string(membership.Foreign)
	healthUnreachable = string(membership.Unreachable)

	healthLearner  = "learner"  // it has not been given a vote yet
	healthRemoved  = "removed"  // it is no longer in etcd's list
	healthStranger = "stranger" // etcd's list has it, and no configuration does
)

// healthOf is the one word for a member.
func healthOf(s membership.MemberStatus) string {
	switch s.State {
	case membership.Foreign:
		if s.Unfit {
			return healthBlocked
		}
		return healthForeign
	case membership.Unreachable, membership.Blocked, membership.Missing, membership.Lost:
		return string(s.State)
	}
	switch {
	case s.Role == membership.Absent:
		return healthRemoved
	case s.State == membership.StoreMissing:
		return healthUnhealthy
	case s.State == membership.Healthy && s.Role == membership.Learner:
		return healthLearner
	}
	return string(s.State)
}

// driftOf is what differs on a member's host from what was last applied; null where nothing does.
func driftOf(s membership.MemberStatus) types.List {
	var drift []string
	switch s.State {
	case membership.Lost, membership.Blocked, membership.Foreign, membership.StoreMissing:
		drift = append(drift, s.Why)
	}
	if s.From != "" {
		drift = append(drift, "its cluster reaches it at "+s.From)
	}
	if s.Restoring != "" {
		drift = append(drift, "a restore of "+s.Restoring+" is under way")
	}
	drift = append(drift, s.Outdated...)
	if s.Invalid != "" {
		drift = append(drift, s.Invalid)
	}
	if s.Unbacked != "" {
		drift = append(drift, s.Unbacked)
	}
	if s.Disabled {
		drift = append(drift, "its unit is disabled")
	}
	if s.Unsynced && s.Role == membership.Voter {
		drift = append(drift, "its configuration names other members than there are")
	}
	if len(drift) == 0 {
		return types.ListNull(types.StringType)
	}
	return value.List(drift)
}

// alarmsOf are etcd's alarms; null where there are none.
func alarmsOf(p membership.ClusterStatus) types.List {
	var alarms []string
	if p.Corrupt {
		alarms = append(alarms, "CORRUPT")
	}
	if p.Full {
		alarms = append(alarms, "NOSPACE")
	}
	if len(alarms) == 0 {
		return types.ListNull(types.StringType)
	}
	return value.List(alarms)
}

// statusOf sums up a cluster. One member that serves a linearizable read proves a quorum, whatever is
// known of the others; hosts that could not be asked may be one.
func statusOf(p membership.ClusterStatus) string {
	healthy, unreachable, well := 0, 0, true
	for _, s := range p.Members {
		if s.Role == membership.Voter && s.State == membership.Healthy {
			healthy++
		}
		if s.State == membership.Unreachable {
			unreachable++
		}
		well = well && (!s.Desired || healthOf(s) == healthHealthy)
	}
	switch {
	case well && healthy > 0 && len(p.Unmanaged) == 0:
		return statusHealthy
	case healthy > 0:
		return statusDegraded
	case unreachable >= membership.Quorum(max(p.Size(), 1)):
		return statusUnknown
	}
	return statusNoQuorum
}

// strangerKey is the name under which a plan shows a member that no configuration knows.
func strangerKey(s membership.UnmanagedMember, taken map[string]memberModel) string {
	name := s.Name
	if name == "" { // it has been added, and has never started
		name = s.ID
	}
	if _, known := taken[name]; known {
		return fmt.Sprintf("%s (%s)", name, s.ID)
	}
	return name
}
