// Package health has the words for the state of a cluster and its members in attributes, warnings and errors.
package health

import (
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

// Values of status.
const (
	StatusHealthy  = "healthy"
	StatusDegraded = "degraded"
	StatusNoQuorum = "no_quorum"
	StatusUnknown  = "unknown"
)

// Values of a member's health beside the planner's states.
const (
	Healthy   = string(membership.Healthy)
	unhealthy = string(membership.Unhealthy)
	blocked   = string(membership.Blocked)
	foreign   = string(membership.Foreign)

	learner   = "learner"  // the member has no vote yet
	removed   = "removed"  // the member is no longer in etcd's list
	barred    = "barred"   // the host answers, and keeps the provider out: the member may serve
	Unmanaged = "stranger" // etcd's list has it, and no configuration does
)

// Of returns the word for a member.
func Of(s membership.MemberStatus) string {
	switch s.State {
	case membership.Foreign:
		if s.Unfit {
			return blocked
		}
		return foreign
	case membership.Unreachable:
		if s.Barred != "" {
			return barred
		}
		return string(s.State)
	case membership.Blocked, membership.Missing, membership.Lost:
		return string(s.State)
	}
	switch {
	case s.Role == membership.Absent:
		return removed
	case s.State == membership.StoreMissing:
		return unhealthy
	case s.State == membership.Healthy && s.Role == membership.Learner:
		return learner
	}
	return string(s.State)
}

// Drift returns what differs on a member's host from what was last applied, or null if nothing does.
func Drift(s membership.MemberStatus) types.List {
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
	for _, reason := range s.Outdated {
		drift = append(drift, asFact(reason))
	}
	if s.Invalid != "" {
		drift = append(drift, asFact(s.Invalid))
	}
	if s.Unbacked != "" {
		drift = append(drift, s.Unbacked)
	}
	if s.Unfiltered != "" {
		drift = append(drift, s.Unfiltered)
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

// asFact turns the reason of a step into a statement about the host. A step's reason says what the step will do, and
// drift is shown before any apply.
func asFact(reason string) string {
	switch {
	case reason == "its unit":
		return "its unit differs"
	case strings.Contains(reason, " -> "):
		return reason + " (host -> desired)"
	}
	return strings.NewReplacer(", and is made anew", "", ", which is made anew", "").Replace(reason)
}

// Alarms returns etcd's alarms, or null if there are none.
func Alarms(p membership.ClusterStatus) types.List {
	var alarms []string
	if p.Corrupt {
		alarms = append(alarms, "CORRUPT")
	}
	if len(p.Full) > 0 {
		alarms = append(alarms, "NOSPACE")
	}
	if len(alarms) == 0 {
		return types.ListNull(types.StringType)
	}
	return value.List(alarms)
}

// Status sums up a cluster. One member that serves a linearizable read proves a quorum, whatever is known of the
// others. Hosts that could not be asked may form one.
func Status(p membership.ClusterStatus) string {
	healthy, unreachable, well := 0, 0, true
	for _, s := range p.Members {
		if s.Role == membership.Voter && s.State == membership.Healthy {
			healthy++
		}
		if s.State == membership.Unreachable {
			unreachable++
		}
		well = well && (!s.Desired || Of(s) == Healthy)
	}
	switch {
	case well && healthy > 0 && len(p.Unmanaged) == 0:
		return StatusHealthy
	case healthy > 0:
		return StatusDegraded
	case unreachable >= membership.Quorum(max(p.Size(), 1)):
		return StatusUnknown
	}
	return StatusNoQuorum
}
