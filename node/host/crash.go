package host

import (
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
)

const (
	// crashPause is for how long any look waits for the process of a member that crashes over and over to end: its
	// database can be read in between alone.
	crashPause = 6 * time.Second
	// crashAge is the age from which on a process is none that crashes at its start, as far as such a look waits.
	crashAge = 15 * time.Second
)

// crashes tells whether systemd has started a member in vain again and again. One or two starts in vain are a port
// that is still taken, or a peer that was not there yet.
func crashes(o api.Observation) bool {
	return o.Unit.Restarts >= lostRestarts && o.Unit.ActiveState != "active"
}

// maySoonCrash tells whether a member that crashes over and over runs at this moment, and is worth to be waited for by who
// has waited so long. Who has patience waits for as long as the start before has taken, and half of that on top: else the
// two seconds between two starts would hardly ever be met. A process that reads and computes is waited for however long that is;
// one that does neither is given up after idle has lasted for api.LongestWait.
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

// idleness is since when a process does nothing that can be seen.
type idleness struct {
	did   procfs.Work
	since time.Time
}

// of is for how long the process has done nothing, as far as this has been asked; another process begins anew.
func (i *idleness) of(did procfs.Work, now time.Time) time.Duration {
	if i.since.IsZero() || did.Process != i.did.Process || did.Read-i.did.Read >= pace.LeastRead || did.Busy-i.did.Busy >= api.LongestWait/pace.BusyShare {
		i.did, i.since = did, now
	}
	return now.Sub(i.since)
}
