package nodetest

import (
	"encoding/base64"
	"maps"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// observe returns everything that the host knows about the cluster.
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
			Time:         c.world.Clock.Add(c.Skew),
		},
		Store:  api.Store{EtcdVersion: c.world.archive(c.store).version, SHA256: c.store, Selected: part.selected, Installed: c.installed()},
		Marker: part.marker,
		Unit:   part.unit.State(),
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
		Served:       c.shown(part),
		ClientCRL:    part.clientCRL,
		Member:       c.sample(ask.Patience),
		Restore:      part.restore,
		Backup:       part.backups.status(),
		Renewal:      part.renewals.status(),
		Firewall:     part.filter.status(),
	}
	if ask.Firewall {
		observation.NoNftables = c.NoNftables
	}
	observation.Data.Cramped = c.cramped(observation.Member)
	if part.marker != nil {
		observation.GuardCheck, observation.Guard = c.maySetOut(part)
	}
	if view := observation.Member; held.member != nil && !view.Healthy && !(view.Responding && view.Learner && view.Leader != "") {
		observation.Data.Log = held.member.Log()
		if part.unit.Process != nil { // the process has its database open
			observation.Data.Log.Applied, observation.Data.Log.Version, observation.Data.Log.Revision = 0, "", 0
		}
	}
	if held.member != nil && part.unit.Process == nil && part.unit.Restarts >= lostRestarts {
		observation.Data.Damage = held.member.Damaged
		observation.Data.Differs = held.member.Damaged == "" && len(part.unit.Journal) > 0 && part.unit.Journal[0] == otherData
		if own := held.member.Revision(); observation.Data.Differs && !c.Terse {
			observation.Data.Own = &api.Hash{Hash: held.member.HashAt(own), HashRevision: own, CompactRevision: held.member.CompactedTo(), Revision: own}
		}
	}
	if l := observation.Data.Log; l != nil && part.unit.Restarts >= lostRestarts && observation.Data.Damage == "" {
		if m := held.member; len(part.unit.Journal) > 0 && part.unit.Journal[0] == m.BeyondLog() {
			l.Acknowledged = m.Told
		}
	}
	for _, l := range c.listeners(c.cluster) {
		if slices.Contains(ask.Ports, l.Port) {
			observation.Listeners = append(observation.Listeners, l)
		}
	}
	return observation, nil
}

// samples is how often an observation asks a member that has stopped serving before it reports that.
const samples = 10

// sample asks the local member for its status, once. With patience it asks again while a member that has served since
// its start does not serve. No time passes in the world meanwhile.
func (c call) sample(patience time.Duration) api.Member {
	for tries := 1; ; tries++ {
		view := c.view(c.cluster)
		if c.Hangs > 0 && view.Healthy {
			c.Hangs--
			view.Healthy, view.HealthError, view.Leader = false, "context deadline exceeded", ""
		}
		part := c.on(c.cluster)
		if patience == 0 || view.Healthy || part.unit.Active != "active" || tries == samples {
			return view
		}
	}
}

// cramped tells whether there is no room for a snapshot of a member that answers.
func (h *Host) cramped(view api.Member) bool {
	return view.Responding && !view.Learner && h.FreeBytes < view.DBSizeBytes+64<<20
}

// unidentified returns why the store and the local member cannot authenticate each other, or "" if they can.
func (i *installation) unidentified() string {
	for _, name := range []string{api.KeyAdmin, api.KeyServer} {
		if i.marker != nil && i.certificates[name] != "" && !i.keys[name].Belongs(i.certificates[name]) {
			return "load the " + name + " certificate: open " + api.KeyFile(i.marker.Cluster, name) + ": no such file or directory"
		}
	}
	if p := i.unit.Process; p != nil && i.clientCRL == "" && p.Flags["client-crl-file"] != "" {
		return "the member has ended the connection: EOF"
	}
	return ""
}

// held returns what the host holds for each key pair and bundle.
func (i *installation) held() map[string]api.Certificate {
	held := map[string]api.Certificate{"peer-ca": {PEM: i.peerCA}, "client-ca": {PEM: i.clientCA}}
	for _, name := range []string{api.KeyPeer, api.KeyServer, api.KeyAdmin} {
		held[name] = api.Certificate{PEM: i.certificates[name], HasKey: i.keys[name].Belongs(i.certificates[name]), NoKey: i.keys[name].Signer == nil, Exposed: i.exposed == name}
	}
	return held
}

// served returns what the ports of a started member serve: etcd reads its certificates again at each handshake.
func (i *installation) served() map[string]api.Served {
	p := i.unit.Process
	if p == nil || i.unit.Active != "active" {
		return nil
	}
	served := map[string]api.Served{}
	for _, name := range []string{api.KeyPeer, api.KeyServer} {
		shown := i.certificates[name]
		if p.Shows != nil {
			shown = p.Shows[name]
		} else if !i.keys[name].Belongs(shown) {
			continue
		}
		if leaf, err := cert.ParseLeaf([]byte(shown)); err == nil {
			info := cert.InfoOf(leaf)
			served[name] = api.Served{SHA256: info.SHA256, Serial: info.SerialNumber}
		}
	}
	return served
}

// shown returns what the host sees of that.
func (h *Host) shown(part *installation) map[string]api.Served {
	served := part.served()
	if p := part.unit.Process; h.Silent > 0 || p != nil && p.Frozen {
		clear(served)
	}
	return served
}

// listeners returns all listeners on the host, as the unit of this cluster sees them.
func (h *Host) listeners(cluster string) []api.Listener {
	found := slices.Clone(h.Listeners)
	for _, name := range slices.Sorted(maps.Keys(h.clusters)) {
		part := h.clusters[name]
		if part.marker == nil || part.unit.Process == nil {
			continue
		}
		for _, port := range []int{part.marker.ClientPort, part.marker.PeerPort, part.marker.MetricsPort} {
			found = append(found, api.Listener{Port: port, Address: "0.0.0.0", PID: part.unit.Process.PID, Process: "etcd", Ours: name == cluster})
		}
	}
	return found
}

// view returns what the local member reports of itself and of its cluster.
func (h *Host) view(cluster string) api.Member {
	p := h.on(cluster).unit.Process
	why := h.on(cluster).unidentified()
	switch {
	case why != "":
		return api.Member{Error: why, HealthError: why, ConnectionsUnknown: p == nil, Ready: p != nil && p.Leader != "" && p.Member.State().Votes(p.Member.ID) && !p.Settling}
	case p == nil:
		return api.Member{Error: "connect: connection refused", ConnectionsUnknown: true}
	case !p.Answers():
		return api.Member{Error: "context deadline exceeded", HealthError: "context deadline exceeded", ConnectionsUnknown: p.Frozen}
	}
	m := p.Member
	s := m.State()
	view := api.Member{
		Responding:     true,
		ClusterID:      m.Cluster,
		MemberID:       m.ID,
		Leader:         p.Leader,
		Learner:        !s.Votes(m.ID),
		Version:        p.Version,
		ClusterVersion: s.Version.String(),
		Downgrade:      s.Downgrade.String(),
		RaftTerm:       m.Term,
		RaftIndex:      m.Index,
		AppliedIndex:   m.Index,
		Revision:       m.Revision(),
		QuotaBytes:     p.Quota(),
		Members:        s.List(),
		Connected:      running{h, h.on(cluster)}.connected(),
	}
	// Databases hold their version only since etcd 3.6.
	if model.MinorOf(p.Version) >= 6 {
		view.StorageVersion = m.Storage.String()
	}
	view.DBSizeBytes, view.DBUsedBytes = m.Size()
	switch {
	case p.Leader == "":
		view.HealthError = "etcdserver: no leader"
	case view.Learner:
		// A learner answers a request for its status, and none for the list of members.
		view.HealthError = "etcdserver: rpc not supported for learner"
		view.Members, view.Alarms = nil, s.Alarms
	case running{h, h.on(cluster)}.lags():
		view.HealthError, view.Alarms = "context deadline exceeded", s.Alarms
	default:
		view.Healthy, view.Ready, view.Alarms = true, !p.Settling, s.Alarms
	}
	return view
}

// lags tells whether a member has not applied all that its leader has: it serves no linearizable read before.
func (r running) lags() bool {
	leader := leaderOf(r.group())
	return r.host.Lag > 0 && leader != nil && r.member().Index < leader.Index
}

// patience is how many ticks a waiting call takes before its own time is over.
const patience = 8

// lostRestarts is how many failed starts show that a member will not start.
const lostRestarts = 3

// await lets time pass until the member is ready, has failed, or is stalled, and returns the observation then.
func (c call) await(ask api.AwaitRequest) (api.Observation, error) {
	if err := api.CheckTimeout(ask.Timeout); err != nil {
		return api.Observation{}, err
	}
	before := c.on(c.cluster).unit.Restarts
	gained := false
	for left := patience; left > 0; left-- {
		reading := c.Reading
		c.world.pass()
		c.Silent = max(0, c.Silent-1)
		hung := c.Hangs > 0
		c.Hangs = max(0, c.Hangs-1)
		if c.Reading < reading { // the member makes progress, which restarts its time
			left, gained = patience, true
		}
		// A start by hand resets the count.
		u := &c.on(c.cluster).unit
		before = min(before, u.Restarts)
		if u.Active == "failed" || u.Restarts >= before+lostRestarts || !hung && isReady(u, c.view(c.cluster), ask) && api.ServesAll(c.shown(c.on(c.cluster)), ask.Serving) {
			break
		}
		if p := u.Process; ask.Stalled && p != nil && p.Stalled && p.Leader != "" {
			o, err := c.observe(ask.ObserveRequest)
			o.Stalled = true
			return o, err
		}
	}
	o, err := c.observe(ask.ObserveRequest)
	o.Gained = gained
	if u := &c.on(c.cluster).unit; len(o.Unit.Journal) == 0 && !isReady(u, o.Member, ask) {
		o.Unit.Journal = []string{NotReady}
	}
	return o, err
}

// NotReady is the journal of a member that runs and is not ready.
const NotReady = "etcd waits for what it lacks"

// isReady tells whether the member is as awaited.
func isReady(u *model.Unit, m api.Member, ask api.AwaitRequest) bool {
	if ask.Learner {
		return m.Responding && m.Leader != "" && m.Learner
	}
	if u.Active != "active" || !m.Ready || !m.Healthy {
		return false
	}
	if ask.Members == 0 {
		return true
	}
	for _, l := range m.Members {
		if l.Name == "" {
			return false
		}
	}
	return len(m.Members) == ask.Members
}

// probe lets some time pass, and returns the local member's status.
func (c call) probe(api.ProbeRequest) (api.Member, error) {
	c.world.pass()
	return c.sample(0), nil
}

// hash returns the hash of what the local member holds.
func (c call) hash(r api.HashRequest) (api.Hash, error) {
	if c.on(c.cluster).marker == nil {
		return api.Hash{}, refuse("this host carries no cluster %s", c.cluster)
	}
	p := c.on(c.cluster).unit.Process
	if p == nil || !p.Answers() {
		return api.Hash{}, failed("hash: the local member does not answer")
	}
	own := p.Member.Revision()
	if r.Revision > own {
		return api.Hash{}, failed("hash at revision %d: etcdserver: mvcc: required revision is a future revision", r.Revision)
	}
	if r.Revision != 0 && r.Revision < p.Member.State().Compacted {
		return api.Hash{}, failed("hash at revision %d: etcdserver: mvcc: required revision has been compacted", r.Revision)
	}
	hash := api.Hash{Hash: p.Member.HashAt(own), HashRevision: own, CompactRevision: p.Member.CompactedTo(), Revision: own}
	if at := r.Revision; at > 0 {
		hash.Hash, hash.HashRevision, hash.CompactRevision = p.Member.HashAt(at), at, p.CompactedAt(at)
	}
	if r.CountAt > 0 {
		hash.Keys = int64(p.Member.State().Keys())
		if !p.Proved {
			p.Proved = true
			p.Member.Proofs++
		}
	}
	return hash, nil
}

// DefaultInventory returns an inventory that nothing speaks against.
func DefaultInventory(address string) api.Inventory {
	return api.Inventory{
		OS: "Debian GNU/Linux 12 (bookworm)", OSID: "debian", OSVersion: "12", SystemdVersion: 252, CPUs: 4,
		HostKeys: []string{"ssh-ed25519 " + base64.StdEncoding.EncodeToString([]byte(address))}, Synchronized: api.Yes,
		HugePages: "madvise", Cgroup: 2, SELinux: "disabled",
	}
}

// inventory returns the host's inventory for these paths, or nil if there are none.
func (h *Host) inventory(paths []string) *api.Inventory {
	if len(paths) == 0 {
		return nil
	}
	inventory, odd := h.Inventory, h.Inventory.Filesystems
	inventory.MemoryBytes, inventory.Addresses, inventory.Filesystems = h.MemoryBytes, slices.Clone(h.addresses), nil
	for _, path := range paths {
		found := api.Filesystem{
			Mount: "/", Type: "ext4", Source: "/dev/sda1", SizeBytes: 40 << 30, FreeBytes: h.dataFree(),
			Inodes: 1 << 20, FreeInodes: 1 << 19, Disks: []string{"sda"}, Kind: api.DiskSSD,
		}
		if i := slices.IndexFunc(odd, func(f api.Filesystem) bool { return f.Path == path }); i >= 0 {
			found = odd[i]
		}
		found.Path = path
		inventory.Filesystems = append(inventory.Filesystems, found)
	}
	return &inventory
}
