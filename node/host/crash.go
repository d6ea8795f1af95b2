package host

import (
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

const (
	// crashPause is how long any observation waits for the process of a repeatedly crashing member to end: its database
	// can be read only between two processes.
	crashPause = 6 * time.Second
	// crashAge is the age from which a process no longer counts as one that crashes at its start, as far as such an
	// observation waits.
	crashAge = 15 * time.Second
)

// crashes tells whether systemd has restarted a member in vain several times. One or two restarts only mean a port that
// is still in use, or a peer that was not there yet.
func crashes(o api.Observation) bool {
	return o.Unit.Restarts >= lostRestarts && o.Unit.ActiveState != "active"
}

// maySoonCrash tells whether a repeatedly crashing member runs at this moment and a caller that has waited this long
// should wait for its end. A caller with patience waits for as long as the previous start took, and half of that on
// top: otherwise it would hardly ever meet the two seconds between two starts. It waits without limit for a process
// that reads or computes, and gives up a process that has done neither for api.LongestWait.
func (m *Machine) maySoonCrash(o api.Observation, patience, waited, idle time.Duration) bool {
	if !crashes(o) || o.Unit.MainPID == 0 || !o.Data.HasMember || keys.Unusable(o.Certificates) != "" {
		return false
	}
	age, known := m.proc().Age(o.Unit.MainPID)
	switch {
	case !known: // it has just ended
		return waited < crashPause && !m.proc().Runs(o.Unit.MainPID)
	case age < crashAge && waited < crashPause:
		return true
	case patience <= 0 || o.Unit.Vain == 0:
		return false
	}
	return max(age, waited) < mayEndBy(o.Unit) && idle < api.LongestWait
}

// idleness is since when a process has done nothing that can be observed.
type idleness struct {
	did   procfs.Work
	since time.Time
}

// of returns how long the process has done nothing, as far as observed. Another process begins at zero.
func (i *idleness) of(did procfs.Work, now time.Time) time.Duration {
	if i.since.IsZero() || did.Process != i.did.Process || did.Read-i.did.Read >= pace.LeastRead || did.Busy-i.did.Busy >= api.LongestWait/pace.BusyShare {
		i.did, i.since = did, now
	}
	return now.Sub(i.since)
}
