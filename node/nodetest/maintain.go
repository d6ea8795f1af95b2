package nodetest

import (
	"fmt"
	"path"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
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
	p := part.unit.process
	switch {
	case p == nil || !p.serves:
		return api.Snapshot{}, failed("save a snapshot: the local member does not answer")
	case !p.member.state().votes(p.member.id):
		return api.Snapshot{}, refuse("member %s is a learner, through which nothing of the cluster can be changed or saved: ask a voter", p.member.name)
	}
	if c.cramped(c.view(c.cluster)) {
		return api.Snapshot{}, refuse("%s has %d MiB free, and a snapshot of the member's database wants more", api.SnapshotDir(part.marker.DataDir), c.FreeBytes>>20)
	}
	s := p.member.state()
	dir := part.marker.DataDir
	c.taken++
	saved := api.Snapshot{
		Path:      path.Join(api.SnapshotDir(dir), fmt.Sprintf("%06d-%d.db", c.taken, s.stored())),
		SHA256:    digest("snapshot", s.content, fmt.Sprint(p.member.index)),
		SizeBytes: 1<<20 + 32,
		Revision:  s.stored(),
		Keys:      s.keys(),
		Version:   p.member.storage.String(),
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
