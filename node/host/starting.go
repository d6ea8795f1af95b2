package host

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// lastingFailure is for how long a member that has served has to have failed before a look reports it: elections on
// slow disks have been seen to take 18 s, and nobody serves meanwhile.
const lastingFailure = 25 * time.Second

// mayComeYet tells whether a member that does not serve, or is not ready, may do so by itself: it has only just been
// started, by whom or with its host alike, or it has served since it was started, and may do so again after an
// election. failed is for how long it is known to have failed. Members that are formed or restored are their run's to
// await.
func (m *Machine) mayComeYet(o api.Observation, patience, failed time.Duration) bool {
	switch {
	case patience <= 0 || o.Marker == nil || o.Marker.Phase == api.PhaseForming || o.Restore != nil:
		return false
	case isFollowing(o.Member) || o.Member.Healthy && o.Member.Ready:
		return false
	case o.Unit.ActiveState == "active" && failed < lastingFailure: // systemd heard from it once it served
		return true
	case o.Guard != "" || o.Unit.FileState != "enabled" || o.Unit.ActiveState == "failed" || o.Unit.Restarts >= lostRestarts:
		return false
	case o.Unit.MainPID == 0:
		return o.Unit.Queued || o.Unit.ActiveState == "activating"
	}
	age, known := m.age(o.Unit.MainPID)
	return known && age < patience
}

// loopAge is how much older than the one before it a process has to be before it counts as one that stays, where those
// before it have ended.
const loopAge = 30 * time.Second

// loops tells whether a member's process ends each time that systemd starts it. One that waits for its peers or replays a
// long log stays.
func (m *Machine) loops(u api.UnitState) bool {
	ended := u.ActiveState == "deactivating" && u.MainPID == 0 && u.Vain > 0 // and how far it has come is being recorded
	if u.ActiveState != "activating" && !ended || u.Restarts < lostRestarts {
		return false
	}
	if u.MainPID == 0 {
		return true
	}
	age, known := m.age(u.MainPID)
	return known && age < mayEndBy(u)
}

// kernelTick is the unit of the kernel's times of processes: USER_HZ is 100 on every architecture that stores are
// built for.
const kernelTick = 10 * time.Millisecond

// age is for how long a process has been running; false: it cannot be told.
func (m *Machine) age(process int) (time.Duration, bool) {
	uptime, err := os.ReadFile(m.path("/proc/uptime"))
	if err != nil {
		return 0, false
	}
	up, _, _ := strings.Cut(string(uptime), " ")
	seconds, err := strconv.ParseFloat(up, 64)
	if err != nil {
		return 0, false
	}
	fields := m.statFields(process)
	if len(fields) < 20 { // the 22nd of all is when it was started
		return 0, false
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	return time.Duration(seconds*float64(time.Second)) - time.Duration(ticks)*kernelTick, err == nil
}

// statFields are what the kernel says of a process, behind the second field, which is a name in brackets that may hold
// anything; none: it has ended.
func (m *Machine) statFields(process int) []string {
	stat, err := os.ReadFile(m.path(filepath.Join("/proc", strconv.Itoa(process), "stat")))
	if err != nil {
		return nil
	}
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
}
