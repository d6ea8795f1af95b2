package nodetest

import (
	"fmt"
	"path"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// probe lets some time pass, and says how the local member is.
func (c call) probe(api.ProbeRequest) (api.Member, error) {
	c.world.tick()
	return c.view(c.cluster), nil
}

// hash is the hash of what the local member holds.
func (c call) hash(r api.HashRequest) (api.Hash, error) {
	p := c.on(c.cluster).unit.process
	if p == nil || !p.serves {
		return api.Hash{}, failed("hash: the local member does not answer")
	}
	own := p.member.state().revision
	if r.Revision > own {
		return api.Hash{}, failed("hash at revision %d: etcdserver: mvcc: required revision is a future revision", r.Revision)
	}
	at := r.Revision
	if at == 0 {
		at = own
	}
	hash := api.Hash{Hash: p.member.hashAt(at), HashRevision: at, Revision: own}
	if r.CountAt > 0 {
		hash.Keys = int64(p.member.state().keys())
		if !p.proved {
			p.proved = true
			p.member.proofs++
		}
	}
	return hash, nil
}

// try has a store parse flags.
func (c call) try(r api.TryRequest) (api.Done, error) {
	if !c.stores[r.Store] {
		return api.Done{}, refuse("store %s is not installed", r.Store)
	}
	if why := c.world.archive(r.Store).parse(r.Flags); why != "" {
		return api.Done{}, failed("etcd %s does not take these flags: %s", c.world.archive(r.Store).version, why)
	}
	return api.Done{}, nil
}

// snapshot saves what the local member holds.
func (c call) snapshot(r api.SnapshotRequest) (api.Snapshot, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.Snapshot{}, err
	}
	if r.Keep < 1 {
		return api.Snapshot{}, c.world.unexpected("%s: a snapshot of which %d are kept", c.Address, r.Keep)
	}
	part := c.on(c.cluster)
	p := part.unit.process
	switch {
	case p == nil || !p.serves:
		return api.Snapshot{}, failed("save a snapshot: the local member does not answer")
	case !p.member.state().votes(p.member.id):
		return api.Snapshot{}, refuse("the local member is a learner: take the snapshot of a voter")
	}
	s := p.member.state()
	dir := part.marker.DataDir
	c.taken++
	saved := api.Snapshot{
		Path:      path.Join(api.SnapshotDir(dir), fmt.Sprintf("%06d-%d.db", c.taken, s.revision)),
		SHA256:    digest("snapshot", s.content, fmt.Sprint(p.member.index)),
		SizeBytes: 1<<20 + 32,
		Revision:  s.revision,
		Keys:      s.keys(),
		Version:   p.member.storage.String(),
	}
	kept := append(slices.Clone(c.snapshots[dir]), saved.Path)
	c.snapshots[dir] = kept[max(0, len(kept)-r.Keep):]
	return saved, nil
}

// recover makes the local member the cluster, alone.
func (c call) recover(r api.RecoverRequest) (api.Recovered, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.Recovered{}, err
	}
	part := c.on(c.cluster)
	m := c.directory(part.marker.DataDir).member
	switch {
	case part.marker.ClusterID == "" || part.marker.ClusterID != r.ClusterID:
		return api.Recovered{}, refuse("this host is of cluster %q, and cluster %q is to be recovered", part.marker.ClusterID, r.ClusterID)
	case m == nil || m.cluster != r.ClusterID:
		return api.Recovered{}, refuse("data directory %s holds no data of cluster %s", part.marker.DataDir, r.ClusterID)
	case part.unit.process != nil && part.unit.process.leader != "":
		return api.Recovered{}, refuse("cluster %s has its quorum: there is nothing to recover", r.ClusterID)
	case !m.state().votes(m.id):
		return api.Recovered{}, refuse("the local member is a learner, which may lack what the voters have agreed on")
	}
	part.unit.stop()
	copied := *m
	to := c.asideOf(part.marker.DataDir, "recovered")
	c.data[to] = &directory{litter: true, member: &copied}
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
	c.world.tick()
	if p := part.unit.process; p == nil || p.leader == "" {
		return api.Recovered{Path: to}, &api.Error{Code: api.CodeFailed, Message: "the member has not come up alone", Detail: fmt.Sprint(part.unit.journal)}
	}
	return api.Recovered{Path: to}, nil
}

// Snapshots are the paths of the snapshots that lie beside a data directory, oldest first.
func (h *Host) Snapshots(dir string) []string {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	return slices.Clone(h.snapshots[dir])
}
