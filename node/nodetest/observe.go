package nodetest

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// observe is everything that the host knows about the cluster.
func (c call) observe(ask api.ObserveRequest) (api.Observation, error) {
	if c.MarkerError != "" {
		return api.Observation{}, failed("%s", c.MarkerError)
	}
	part := c.on(c.cluster)
	dir := ask.DataDir
	if part.marker != nil {
		dir = part.marker.DataDir
	}
	_, exists := c.data[dir]
	held := c.directory(dir)
	observation := api.Observation{
		Facts: api.Facts{
			Hostname:     "host-" + c.MachineID[:8],
			MachineID:    c.MachineID,
			BootID:       c.bootID(),
			OS:           "Debian GNU/Linux 12 (bookworm)",
			Kernel:       c.Kernel,
			Architecture: c.architecture(),
			MemoryBytes:  c.MemoryBytes,
			Addresses:    slices.Clone(c.addresses),
			FirstPort:    max(c.FirstPort, 1),
			Time:         c.world.Clock,
		},
		Store:  api.Store{EtcdVersion: c.world.archive(c.store).version, SHA256: c.store, Selected: part.selected, Installed: c.installed()},
		Marker: part.marker,
		Unit:   part.unit.state(),
		Flags:  part.flags,
		Data: api.Data{
			Path:       dir,
			Exists:     exists,
			Empty:      held.empty(),
			HasMember:  held.member != nil,
			Filesystem: "ext4",
			FreeBytes:  c.dataFree(),
			Full:       held.member != nil && c.dataFree() < api.LogSegmentBytes,
			Aside:      c.aside(dir),
		},
		Certificates: part.held(),
		Member:       c.sample(ask.Patience),
		Restore:      part.restore,
		Backup:       part.backups.status(),
	}
	observation.Data.Cramped = c.cramped(observation.Member)
	if part.marker != nil {
		observation.GuardCheck, observation.Guard = c.guard(part)
	}
	if view := observation.Member; held.member != nil && !view.Healthy && !(view.Responding && view.Learner && view.Leader != "") {
		observation.Data.Log = held.member.log()
		if part.unit.process != nil { // which has its database open
			observation.Data.Log.Applied, observation.Data.Log.Version = 0, ""
		}
	}
	if held.member != nil && part.unit.process == nil && part.unit.restarts >= lostRestarts {
		observation.Data.Damage = held.member.damaged
		observation.Data.Differs = held.member.damaged == "" && len(part.unit.journal) > 0 && part.unit.journal[0] == otherData
		if own := held.member.state().revision; observation.Data.Differs && !c.Terse {
			observation.Data.Own = &api.Hash{Hash: held.member.hashAt(own), HashRevision: own, Revision: own}
		}
	}
	for _, l := range c.listeners(c.cluster) {
		if slices.Contains(ask.Ports, l.Port) {
			observation.Listeners = append(observation.Listeners, l)
		}
	}
	return observation, nil
}

// samples is how often a look asks a member that has ceased to serve, before it reports that.
const samples = 10

// sample asks the local member how it is, once; and where there is patience, again as long as one that has served since
// it was started does not, and may again. Its time is short: nothing happens meanwhile.
func (c call) sample(patience time.Duration) api.Member {
	for tries := 1; ; tries++ {
		view := c.view(c.cluster)
		if c.Hangs > 0 && view.Healthy {
			c.Hangs--
			view.Healthy, view.HealthError, view.Leader = false, "context deadline exceeded", ""
		}
		part := c.on(c.cluster)
		if patience == 0 || view.Healthy || part.unit.active != "active" || tries == samples {
			return view
		}
	}
}

// cramped tells whether there is no room for a snapshot of a member that answers.
func (h *Host) cramped(view api.Member) bool {
	return view.Responding && !view.Learner && h.FreeBytes < view.DBSizeBytes+64<<20
}

// unidentified is why the store and the local member cannot show each other who they are; empty: they can.
func (i *installation) unidentified() string {
	for _, name := range []string{api.KeyAdmin, api.KeyServer} {
		if i.marker != nil && i.certificates[name] != "" && !i.keys[name].belongs(i.certificates[name]) {
			return "load the " + name + " certificate: open " + api.KeyFile(i.marker.Cluster, name) + ": no such file or directory"
		}
	}
	return ""
}

// held is what the host holds for each key pair and bundle.
func (i *installation) held() map[string]api.Certificate {
	held := map[string]api.Certificate{"peer-ca": {PEM: i.peerCA}, "client-ca": {PEM: i.clientCA}}
	for _, name := range []string{api.KeyPeer, api.KeyServer, api.KeyAdmin} {
		held[name] = api.Certificate{PEM: i.certificates[name], HasKey: i.keys[name].belongs(i.certificates[name]), NoKey: i.keys[name].Signer == nil}
	}
	return held
}

// listeners are all that listen on the host, as the unit of this cluster sees them.
func (h *Host) listeners(cluster string) []api.Listener {
	found := slices.Clone(h.Listeners)
	for _, name := range slices.Sorted(maps.Keys(h.clusters)) {
		part := h.clusters[name]
		if part.marker == nil || part.unit.process == nil {
			continue
		}
		for _, port := range []int{part.marker.ClientPort, part.marker.PeerPort, part.marker.MetricsPort} {
			found = append(found, api.Listener{Port: port, Address: "0.0.0.0", PID: part.unit.process.pid, Process: "etcd", Ours: name == cluster})
		}
	}
	return found
}

// view is what the local member says of itself and of its cluster.
func (h *Host) view(cluster string) api.Member {
	p := h.on(cluster).unit.process
	why := h.on(cluster).unidentified()
	switch {
	case why != "":
		return api.Member{Error: why, HealthError: why, Ready: p != nil && p.leader != "" && p.member.state().votes(p.member.id) && !p.settling}
	case p == nil:
		return api.Member{Error: "connect: connection refused"}
	case !p.serves:
		return api.Member{Error: "context deadline exceeded"}
	}
	m := p.member
	s := m.state()
	view := api.Member{
		Responding:     true,
		ClusterID:      m.cluster,
		MemberID:       m.id,
		Leader:         p.leader,
		Learner:        !s.votes(m.id),
		Version:        p.version,
		ClusterVersion: s.version.String(),
		Downgrade:      s.downgrade.String(),
		RaftTerm:       m.term,
		RaftIndex:      m.index,
		AppliedIndex:   m.index,
		Revision:       s.revision,
		QuotaBytes:     p.quota(),
		Members:        s.list(),
	}
	// Only from 3.6 on does a database say its version.
	if minorOf(p.version) >= 6 {
		view.StorageVersion = m.storage.String()
	}
	view.DBSizeBytes, view.DBUsedBytes = m.size()
	switch {
	case p.leader == "":
		view.HealthError = "etcdserver: no leader"
	case view.Learner:
		// It answers its status, and no list of members.
		view.HealthError = "etcdserver: rpc not supported for learner"
		view.Members, view.Alarms = nil, s.alarms
	case h.lags(p):
		view.HealthError, view.Alarms = "context deadline exceeded", s.alarms
	default:
		view.Healthy, view.Ready, view.Alarms = true, !p.settling, s.alarms
	}
	return view
}

// lags tells whether a member has not applied what its leader has: it serves no linearizable read before that.
func (h *Host) lags(p *process) bool {
	leader := leaderOf(h.group(p))
	return h.Lag > 0 && leader != nil && p.member.index < leader.index
}

// log is what a member that does not serve has written. One that was in no quorum yet has an entry for each
// member that it was told of.
func (m *member) log() *api.Log {
	log := &api.Log{ClusterID: m.cluster, MemberID: m.id, Term: m.lastTerm(), Index: m.index, Applied: m.index}
	if m.last == nil && m.known.version == 0 {
		log.Term, log.Index = 1, uint64(len(m.known.members))
	}
	if agreed := m.state().version; agreed != 0 {
		log.Version = agreed.String()
	}
	log.Corrupt = slices.ContainsFunc(m.state().alarms, func(alarm string) bool { return strings.HasPrefix(alarm, "CORRUPT ") })
	switch m.damaged {
	case Log:
		log.Term, log.Index, log.Error = 0, 0, "a record does not have the checksum that it says"
	case Database:
		log.Applied, log.Version, log.DatabaseError = 0, "", "it is damaged"
	}
	return log
}

// size is that of the member's database, and what of it is used.
func (m *member) size() (bytes, used int64) {
	// A restore raises the revision by far more than there were writes.
	used = max(m.dbUsed, 16<<10+100*min(m.state().revision, 1<<20))
	return max(m.dbSize, used), used
}

// quota is the size of the database at which the member takes no more writes.
func (p *process) quota() int64 {
	if bytes, err := strconv.ParseInt(p.flags["quota-backend-bytes"], 10, 64); err == nil && bytes > 0 {
		return bytes
	}
	return 2 << 30
}
