package nodetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// recovery is a host's record of a recovery under way: the copy of the data, and how its log ends.
type recovery struct {
	copy        string
	term, index uint64
	agreed      bool // the whole log counts as agreed on by now, although only this member has agreed on it
}

// CutRecovery has a recovery of the cluster from its stopped member begin, and be killed once the whole log of the
// member counts as agreed on.
func (h *Host) CutRecovery(cluster string) {
	h.onData(cluster, func(part *installation, m *model.Member) {
		h.copyForRecovery(part, m)
		part.recovery.agreed = true
	})
}

// copySpare is the space that a copy of a member's data leaves free.
const copySpare = 256 << 20

// recover makes the local member the whole cluster.
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
	}
	if check, why := c.guard(part); why != "" {
		return api.Recovered{}, refuse("its guard lets the member not start (%s): %s", check, why)
	}
	switch {
	case part.unit.Process != nil && part.unit.Process.Leader != "" && len(m.State().Members) == 1 && part.recovery == nil:
		return api.Recovered{Path: c.lastRecovered(part.marker)}, nil
	case part.unit.Process != nil && part.unit.Process.Leader != "" && len(m.State().Members) > 1:
		return api.Recovered{}, refuse("cluster %s has its quorum: there is nothing to recover", r.ClusterID)
	case !m.State().Votes(m.ID):
		return api.Recovered{}, refuse("the local member is a learner, which may lack what the voters have agreed on")
	}
	if under := part.recovery; under == nil || !under.agreed && (under.term != m.LastTerm() || under.index != m.Index) && len(m.State().Members) > 1 {
		if err := c.beginRecovery(part, m, r); err != nil {
			return api.Recovered{}, err
		}
	}
	part.unit.Stop()
	part.recovery.agreed = true
	done := api.Recovered{Path: part.recovery.copy}
	s := m.State()
	for _, l := range s.Members {
		if l.ID != m.ID {
			s = s.Without(l.ID)
		}
	}
	m.Term++
	m.Append(1, s)
	part.unit.Enabled = true
	part.unit.Start()
	c.world.pass()
	if p := part.unit.Process; p == nil || p.Leader == "" {
		return done, failed("the member has not come up alone; its journal ends %s; its data as it was lies in %s", fmt.Sprint(part.unit.Journal), done.Path)
	}
	part.recovery = nil
	return done, nil
}

// lastRecovered returns the copy that the last recovery has made, or "".
func (h *Host) lastRecovered(marker *api.Marker) string {
	for _, path := range slices.Backward(h.aside(marker.DataDir)) {
		if strings.HasPrefix(path, marker.DataDir+"."+api.AsidePrefix+"recovered-") && !slices.Contains(marker.Former, path) {
			return path
		}
	}
	return ""
}

// beginRecovery checks and copies the member's data, and records the copy. If it refuses the data, the member continues
// to run.
func (c call) beginRecovery(part *installation, m *model.Member, r api.RecoverRequest) error {
	if l := m.Log(); l.Error != "" || l.DatabaseError != "" {
		return refuse("member %s cannot be recovered from: %s%s", m.Name, l.Error, l.DatabaseError)
	} else if cmp.Or(cmp.Compare(l.Term, r.Term), cmp.Compare(l.Index, r.Index)) < 0 {
		return refuse("member %s is not recovered from: its log ends with entry %d of term %d, and it ended with entry %d of term %d when it was chosen", m.Name, l.Index, l.Term, r.Index, r.Term)
	}
	if size, _ := m.Size(); c.dataFree() < size+copySpare {
		return refuse("%s has %d MiB free, and a copy of the data in it wants %d MiB: free some space", part.marker.DataDir, c.dataFree()>>20, (size+copySpare)>>20)
	}
	c.copyForRecovery(part, m)
	return nil
}

func (h *Host) copyForRecovery(part *installation, m *model.Member) {
	copied := *m
	to := h.asideOf(part.marker.DataDir, "recovered")
	h.data[to] = &directory{litter: true, member: &copied}
	part.recovery = &recovery{copy: to, term: m.LastTerm(), index: m.Index}
}
