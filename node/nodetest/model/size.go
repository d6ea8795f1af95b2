package model

import (
	"slices"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Log returns what a member that does not serve has written. A member that was in no quorum yet has one entry for each
// member that it was told of.
func (m *Member) Log() *api.Log {
	log := &api.Log{ClusterID: m.Cluster, MemberID: m.ID, Term: m.LastTerm(), Index: m.Index, Applied: m.Index, Revision: m.State().Revision}
	if m.Last == nil && m.Known.Version == 0 {
		log.Term, log.Index = 1, uint64(len(m.Known.Members))
	}
	if agreed := m.State().Version; agreed != 0 {
		log.Version = agreed.String()
	}
	log.Corrupt = slices.ContainsFunc(m.State().Alarms, func(alarm string) bool { return strings.HasPrefix(alarm, "CORRUPT ") })
	switch m.Damaged {
	case Log:
		log.Term, log.Index, log.Error = 0, 0, "a record does not have the checksum that it says"
	case Database:
		log.Applied, log.Version, log.Revision, log.DatabaseError = 0, "", 0, "it is damaged"
	}
	return log
}

// HighestRevision returns a revision that no client can have seen a higher one than, or 0 if the data cannot be read.
func (m *Member) HighestRevision() int64 {
	if m.Damaged != "" || m.Last == nil {
		return 0
	}
	return m.Revision() + int64(m.Index-m.Last.Index)
}

// Size returns the size of the member's database, and how much of it is used.
func (m *Member) Size() (bytes, used int64) {
	// A restore raises the revision by far more than there were writes.
	used = max(m.DBUsed, 16<<10+100*min(m.State().Revision, 1<<20))
	return max(m.DBSize, used), used
}

// Quota is the size of the database at which the member accepts no more writes.
func (p *Process) Quota() int64 {
	if bytes, err := strconv.ParseInt(p.Flags["quota-backend-bytes"], 10, 64); err == nil && bytes > 0 {
		return bytes
	}
	return 2 << 30
}
