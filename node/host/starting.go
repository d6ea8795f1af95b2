package host

import (
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
)

// lastingFailure is how long a member that has served has to have failed before an observation reports it: elections on
// slow disks were seen to take 18 s, and nobody serves meanwhile.
const lastingFailure = 25 * time.Second

// mayComeYet tells whether a member that does not serve, or is not ready, may do so by itself: it was only just
// started, by whomever or with its host, or it has served since its start, and may serve again after an election.
// failed is how long it is known to have failed. The run itself waits for members that it forms or restores.
func (m *Machine) mayComeYet(o api.Observation, patience, failed time.Duration) bool {
	switch {
	case patience <= 0 || o.Marker == nil || o.Marker.Phase == api.PhaseForming || o.Restore != nil:
		return false
	case isFollowing(o.Member) || o.Member.Healthy && o.Member.Ready:
		return false
	case keys.Unusable(o.Certificates) != "": // no wait mends a file
		return false
	case o.Unit.ActiveState == "active" && failed < lastingFailure: // systemd heard from it once it served
		return true
	case o.Guard != "" || o.Unit.FileState != "enabled" || o.Unit.ActiveState == "failed" || o.Unit.Restarts >= lostRestarts:
		return false
	case o.Unit.MainPID == 0:
		return o.Unit.Queued || o.Unit.ActiveState == "activating"
	}
	age, known := m.proc().Age(o.Unit.MainPID)
	return known && age < patience
}

// loopAge is how much older than the previous process a process has to be to count as one that stays, if the previous
// ones have ended.
const loopAge = 30 * time.Second

// loops tells whether a member's process ends each time that systemd starts it. A process that waits for its peers or
// replays a long log stays.
func (m *Machine) loops(u api.UnitState) bool {
	// The process has ended, and its progress is being recorded.
	ended := u.ActiveState == "deactivating" && u.MainPID == 0 && u.Vain > 0
	if u.ActiveState != "activating" && !ended || u.Restarts < lostRestarts {
		return false
	}
	if u.MainPID == 0 {
		return true
	}
	if age, known := m.proc().Age(u.MainPID); known {
		return age < mayEndBy(u)
	}
	return !m.proc().Runs(u.MainPID) // it has ended since systemd was asked
}
