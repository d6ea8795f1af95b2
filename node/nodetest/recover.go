package nodetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// recovery is what the host records of one that is under way: the good copy of the data, and how its log ends.
type recovery struct {
	copy        string
	term, index uint64
}

// copySpare is what a copy of a member's data leaves free.
const copySpare = 256 << 20

// recover makes the local member the cluster, alone.
func (c call) recover(r api.RecoverRequest) (api.Recovered, error) {
	if err := api.CheckTimeout(r.Timeout); err != nil {
		return api.Recovered{}, err
	}
	if err := c.mayChange(r.Owner); err != nil {
		return api.Recovered{}, err
	}
	part := c.on(c.cluster)
	m := c.directory(part.marker.DataDir).member
	switch {
	case part.marker.ClusterID == "" || part.marker.ClusterID != r.ClusterID:
		return api.Recovered{}, refuse("this host is of cluster %q, and cluster %q is to be recovered", part.marker.ClusterID, r.ClusterID)
	case part.marker.Phase != api.PhaseFormed:
		return api.Recovered{}, refuse("member %s of cluster %s has not joined it: recover one that has", part.marker.Member, c.cluster)
	case part.restore != nil && part.restore.Stage == api.StageFenced:
		return api.Recovered{}, refuse("its guard lets the member not start (%s): a restore of %s is under way", api.GuardRestore, part.restore.Source)
	case m == nil || m.cluster != r.ClusterID:
		return api.Recovered{}, refuse("data directory %s holds no data of cluster %s", part.marker.DataDir, r.ClusterID)
	case part.unit.process != nil && part.unit.process.leader != "" && len(m.state().members) == 1 && part.recovery == nil:
		return api.Recovered{Path: c.lastRecovered(part.marker.DataDir)}, nil
	case part.unit.process != nil && part.unit.process.leader != "" && len(m.state().members) > 1:
		return api.Recovered{}, refuse("cluster %s has its quorum: there is nothing to recover", r.ClusterID)
	case !m.state().votes(m.id):
		return api.Recovered{}, refuse("the local member is a learner, which may lack what the voters have agreed on")
	}
	if under := part.recovery; under == nil || (under.term != m.lastTerm() || under.index != m.index) && len(m.state().members) > 1 {
		if err := c.beginRecovery(part, m, r); err != nil {
			return api.Recovered{}, err
		}
	}
	part.unit.stop()
	done := api.Recovered{Path: part.recovery.copy}
	s := m.state()
	for _, l := range s.members {
		if l.id != m.id {
			s = s.without(l.id)
		}
	}
	m.term++
	m.append(1, s)
	part.unit.enabled = true
	part.unit.start()
	c.world.pass()
	if p := part.unit.process; p == nil || p.leader == "" {
		return done, failed("the member has not come up alone; its journal ends %s; its data as it was lies in %s", fmt.Sprint(part.unit.journal), done.Path)
	}
	part.recovery = nil
	return done, nil
}

// lastRecovered is the copy that the last recovery has made; empty: there is none.
func (h *Host) lastRecovered(dir string) string {
	for _, path := range slices.Backward(h.aside(dir)) {
		if strings.HasPrefix(path, dir+"."+api.AsidePrefix+"recovered-") {
			return path
		}
	}
	return ""
}

// beginRecovery checks and copies the member's data, and records the copy. A member whose data it refuses runs on.
func (c call) beginRecovery(part *installation, m *member, r api.RecoverRequest) error {
	if l := m.log(); l.Error != "" || l.DatabaseError != "" {
		return refuse("member %s cannot be recovered from: %s%s", m.name, l.Error, l.DatabaseError)
	} else if cmp.Or(cmp.Compare(l.Term, r.Term), cmp.Compare(l.Index, r.Index)) < 0 {
		return refuse("member %s is not recovered from: its log ends with entry %d of term %d, and it ended with entry %d of term %d when it was chosen", m.name, l.Index, l.Term, r.Index, r.Term)
	}
	if size, _ := m.size(); c.dataFree() < size+copySpare {
		return refuse("%s has %d MiB free, and a copy of the data in it wants %d MiB: free some space", part.marker.DataDir, c.dataFree()>>20, (size+copySpare)>>20)
	}
	copied := *m
	to := c.asideOf(part.marker.DataDir, "recovered")
	c.data[to] = &directory{litter: true, member: &copied}
	part.recovery = &recovery{copy: to, term: m.lastTerm(), index: m.index}
	return nil
}
