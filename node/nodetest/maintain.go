package nodetest

import (
	"fmt"
	"path"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// probe lets some time pass, and says how the local member is.
func (c call) probe(api.ProbeRequest) (api.Member, error) {
	c.world.pass()
	return c.sample(0), nil
}

// hash is the hash of what the local member holds.
func (c call) hash(r api.HashRequest) (api.Hash, error) {
	if c.on(c.cluster).marker == nil {
		return api.Hash{}, refuse("this host carries no cluster %s", c.cluster)
	}
	p := c.on(c.cluster).unit.Process
	if p == nil || !p.Serves {
		return api.Hash{}, failed("hash: the local member does not answer")
	}
	own := p.Member.State().Revision
	if r.Revision > own {
		return api.Hash{}, failed("hash at revision %d: etcdserver: mvcc: required revision is a future revision", r.Revision)
	}
	at := r.Revision
	if at == 0 {
		at = own
	}
	hash := api.Hash{Hash: p.Member.HashAt(at), HashRevision: at, Revision: own}
	if r.CountAt > 0 {
		hash.Keys = int64(p.Member.State().Keys())
		if !p.Proved {
			p.Proved = true
			p.Member.Proofs++
		}
	}
	return hash, nil
}

// try has a store parse flags.
func (c call) try(r api.TryRequest) (api.Done, error) {
	if !c.hasStore(r.Store) {
		return api.Done{}, refuse("store %s is not installed", r.Store)
	}
	if why := c.world.archive(r.Store).parse(r.Flags); why != "" {
		return api.Done{}, refuse("etcd %s does not take these flags: %s", c.world.archive(r.Store).version, why)
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
	p := part.unit.Process
	switch {
	case p == nil || !p.Serves:
		return api.Snapshot{}, failed("save a snapshot: the local member does not answer")
	case !p.Member.State().Votes(p.Member.ID):
		return api.Snapshot{}, refuse("member %s is a learner, through which nothing of the cluster can be changed or saved: ask a voter", p.Member.Name)
	}
	if c.cramped(c.view(c.cluster)) {
		return api.Snapshot{}, refuse("%s has %d MiB free, and a snapshot of the member's database wants more", api.SnapshotDir(part.marker.DataDir), c.FreeBytes>>20)
	}
	s := p.Member.State()
	dir := part.marker.DataDir
	c.taken++
	saved := api.Snapshot{
		Path:      path.Join(api.SnapshotDir(dir), fmt.Sprintf("%06d-%d.db", c.taken, s.Stored())),
		SHA256:    model.Digest("snapshot", s.Content, fmt.Sprint(p.Member.Index)),
		SizeBytes: 1<<20 + 32,
		Revision:  s.Stored(),
		Keys:      s.Keys(),
		Version:   p.Member.Storage.String(),
	}
	kept := append(slices.Clone(c.snapshots[dir]), saved.Path)
	c.snapshots[dir] = kept[max(0, len(kept)-r.Keep):]
	return saved, nil
}

// Snapshots are the paths of the snapshots that lie beside a data directory, oldest first.
func (h *Host) Snapshots(dir string) []string {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	return slices.Clone(h.snapshots[dir])
}
