package nodetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// content is the content of a snapshot.
type content struct {
	sha256   string
	size     int64
	revision int64
	bumped   int64
	content  string
}

// Snapshot returns a snapshot of a cluster as it is now, as a file holds it, or nil if nobody serves it.
func (w *World) Snapshot(cluster string) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	var taken []byte
	w.each(func(h *Host, part *installation) {
		if p := part.unit.Process; taken == nil && p != nil && p.Leader != "" && part == h.on(cluster) {
			s := p.Member.State()
			taken = fmt.Appendf(nil, "snapshot %d %d %s", s.Stored(), s.Bumped, s.Content)
		}
	})
	return taken
}

// fetch brings a snapshot onto the host.
func (c call) fetch(r api.FetchRequest) (api.Snapshot, error) {
	if err := checkFetch(r); err != nil {
		return api.Snapshot{}, err
	}
	if marker := c.on(c.cluster).marker; marker != nil && marker.Owner != r.Owner {
		return api.Snapshot{}, refuse("cluster %s on this host is managed by another Terraform object", c.cluster)
	}
	if held, there := c.fetched[api.FetchedSnapshot(r.DataDir, r.SHA256)]; there {
		return held.describe(r.DataDir), nil
	}
	sent, err := c.sent(r.Source, r.Owner, r.From)
	if err != nil {
		return api.Snapshot{}, err
	}
	sum := sha256.Sum256(sent)
	read := content{sha256: hex.EncodeToString(sum[:]), size: int64(len(sent))}
	if _, err := fmt.Sscanf(string(sent), "snapshot %d %d %s", &read.revision, &read.bumped, &read.content); err != nil {
		return api.Snapshot{}, failed("what was sent is no snapshot: %v", err)
	}
	if r.SHA256 != "" && r.SHA256 != read.sha256 {
		return api.Snapshot{}, failed("the snapshot has SHA-256 %s, and should have %s", read.sha256, r.SHA256)
	}
	described := read.describe(r.DataDir)
	if desired := 64<<20 + int64(described.Keys)*192; desired > c.MemoryBytes {
		return api.Snapshot{}, refuse("what was sent has %d keys, for which a member wants at least %d MiB of memory, and this host has %d MiB: restore it on hosts with more", described.Keys, desired>>20, c.MemoryBytes>>20)
	}
	c.Host.fetched[described.Path] = read
	return described, nil
}

// checkFetch refuses a request that makes no sense on any host.
func checkFetch(r api.FetchRequest) error {
	switch {
	case !path.IsAbs(r.DataDir):
		return refuse("data directory %q: it is no absolute path", r.DataDir)
	case r.From < 0 || r.From > 0 && (r.Source.Upload == nil || r.From > r.Source.Upload.SizeBytes):
		return refuse("an upload cannot be resumed after byte %d", r.From)
	case model.MinorOf(r.MinorVersion) == 0:
		return refuse("%q is no minor version of etcd, like 3.7", r.MinorVersion)
	case r.SHA256 != "":
		return api.CheckSHA256(r.SHA256, "an upload")
	}
	return nil
}

// sent returns the content of a source.
func (c call) sent(s api.Source, owner string, from int64) ([]byte, error) {
	switch {
	case s.Backup != "":
		text, err := c.backupContent(s, owner)
		return []byte(text), err
	case s.Upload != nil && c.in != nil:
		return c.receive(*s.Upload, from)
	}
	return nil, failed("there is no snapshot at %+v", s)
}

// receive appends an upload to what has arrived of it before, which stays if the rest does not arrive.
func (c call) receive(u api.Upload, from int64) ([]byte, error) {
	if err := api.CheckSHA256(u.SHA256, "an upload"); err != nil {
		return nil, err
	}
	before := c.Host.arriving[u.SHA256]
	if from > int64(len(before)) {
		return nil, failed("%d bytes of it are on the host, and not %d", len(before), from)
	}
	rest, err := io.ReadAll(c.in)
	c.Host.Received += int64(len(rest))
	whole := append(slices.Clone(before[:from]), rest...)
	if sum := sha256.Sum256(whole); err == nil && hex.EncodeToString(sum[:]) != u.SHA256 {
		delete(c.Host.arriving, u.SHA256)
		return nil, failed("it was damaged on its way")
	}
	if c.Host.arriving[u.SHA256] = whole; err != nil {
		return nil, failed("%d of %d bytes have arrived, and stay: %v", len(whole), u.SizeBytes, err)
	}
	delete(c.Host.arriving, u.SHA256)
	return whole, nil
}

// arrived returns how much of an upload has arrived.
func (c call) arrived(r api.ArrivedRequest) (api.Arrived, error) {
	if err := api.CheckSHA256(r.SHA256, "an upload"); err != nil {
		return api.Arrived{}, err
	}
	return api.Arrived{Bytes: int64(len(c.Host.arriving[r.SHA256]))}, nil
}

func (s content) state() model.State {
	return model.State{Revision: max(1, s.revision), Bumped: s.bumped, Content: s.content}
}

func (s content) describe(dir string) api.Snapshot {
	return api.Snapshot{Path: api.FetchedSnapshot(dir, s.sha256), SHA256: s.sha256, SizeBytes: s.size, Revision: s.revision, Keys: s.state().Keys(), TakenAt: Start}
}

// fence stops the member and lets none start.
func (c call) fence(r api.FenceRequest) (api.Restoration, error) {
	part := c.on(c.cluster)
	if err := api.CheckSHA256(r.Snapshot, "a snapshot"); err != nil {
		return api.Restoration{}, err
	}
	if err := c.mayChange(r.Owner); err != nil {
		return api.Restoration{}, err
	}
	if err := c.mustHaveDisk(part); err != nil {
		return api.Restoration{}, err
	}
	for _, address := range c.world.Desired {
		h := c.world.hosts[address]
		if _, there := h.fetched[api.FetchedSnapshot(part.marker.DataDir, r.Snapshot)]; !there {
			c.broken(VerifiedFirst, "fence: %s has no snapshot %s", address, r.Snapshot)
		}
	}
	switch under := part.restore; {
	case under == nil:
		m := c.directory(part.marker.DataDir).member
		part.restore = &api.Restoration{Stage: api.StageFenced, Began: c.world.Clock, Marker: part.markerCopy(), Flags: slices.Clone(part.flags), Enabled: part.unit.Enabled, ClusterID: part.marker.ClusterID}
		if m != nil && m.Last != nil {
			part.restore.Revision = m.Last.State.Revision + int64(m.Index-m.Last.Index)
		}
	case under.Stage != api.StageFenced && under.Snapshot != r.Snapshot:
		return api.Restoration{}, refuse("a restore of %s is under way", under.Source)
	}
	if part.restore.Stage == api.StageFenced {
		part.restore.Source, part.restore.Snapshot = r.Source, r.Snapshot
		part.unit.Stop()
		part.unit.Enabled = false
		c.world.convene()
	}
	return *part.restore, nil
}

// restore makes the data directory from the fetched snapshot.
func (c call) restore(r api.RestoreRequest) (api.Restored, error) {
	part := c.on(c.cluster)
	if err := api.CheckRestore(c.cluster, r); err != nil {
		return api.Restored{}, err
	}
	if err := c.mayClaim(part, r.Marker); err != nil {
		return api.Restored{}, err
	}
	dir := r.Marker.DataDir
	held, there := c.fetched[api.FetchedSnapshot(dir, r.Snapshot)]
	switch under := part.restore; {
	case !there:
		return api.Restored{}, refuse("snapshot %s was not fetched", r.Snapshot)
	case part.marker != nil && part.marker.Owner != r.Marker.Owner:
		return api.Restored{}, refuse("cluster %s on this host is managed by another Terraform object", c.cluster)
	case part.marker != nil && under == nil:
		return api.Restored{}, refuse("the member on this host was not fenced")
	case part.unit.Runs():
		return api.Restored{}, refuse("a member runs on this host")
	case under != nil && under.Stage != api.StageFenced && (under.Token != r.Marker.Token || under.Bump != r.Bump):
		return api.Restored{}, refuse("this host was restored with token %s and bump %d", under.Token, under.Bump)
	case under != nil && under.Stage != api.StageFenced:
		return api.Restored{ClusterID: part.marker.ClusterID, MemberID: part.marker.MemberID, Aside: under.Aside}, nil
	}
	if err := c.mustHaveDisk(part); err != nil {
		return api.Restored{}, err
	}
	m := c.reborn(r, held)
	c.noneServes(m.Cluster)
	if part.restore == nil {
		part.restore = &api.Restoration{Began: c.world.Clock}
	}
	part.restore.Source, part.restore.Snapshot, part.restore.Stage = r.Source, r.Snapshot, api.StageRestored
	part.restore.Token, part.restore.Bump, part.restore.Aside = r.Marker.Token, r.Bump, c.moveAside(dir, "restore")
	c.data[dir] = &directory{member: m}
	r.Marker.ClusterID, r.Marker.MemberID = m.Cluster, m.ID
	c.record(part, r.Marker)
	part.flags = nil
	return api.Restored{ClusterID: m.Cluster, MemberID: m.ID, Aside: part.restore.Aside}, nil
}

// reborn returns a member of the restored cluster. All of them begin with the same log.
func (c call) reborn(r api.RestoreRequest, held content) *model.Member {
	flags := map[string]string{"initial-cluster": r.Marker.InitialCluster, "initial-cluster-token": r.Marker.Token}
	m := &model.Member{Cluster: model.Identity("cluster", r.Marker.InitialCluster, r.Marker.Token), Name: r.Marker.Member, Storage: model.MinorOf(c.world.archive(c.store).version), Term: 1}
	s := held.state().Raised(r.Bump)
	s.Version = m.Storage
	for _, l := range initialCluster(flags) {
		l.ID = model.Identity("member", l.PeerURL, r.Marker.Token)
		if l.Name == m.Name {
			m.ID = l.ID
		}
		s.Members = append(s.Members, l)
	}
	snapshotSource, begun := c.world.snapshotSources[m.Cluster]
	if !begun {
		snapshotSource = &model.Entry{Index: uint64(len(s.Members)), Term: 1, State: s}
		c.world.snapshotSources[m.Cluster] = snapshotSource
	}
	if snapshotSource.State.Revision != s.Revision || snapshotSource.State.Content != s.Content {
		_ = c.world.unexpected("%s: restored to revision %d, and another member of the same cluster to %d", c.Address, s.Revision, snapshotSource.State.Revision)
	}
	m.Last, m.Index, m.Known = snapshotSource, snapshotSource.Index, snapshotSource.State
	return m
}

// advance records the stage that the host has reached.
func (c call) advance(r api.AdvanceRequest) (api.Done, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.Done{}, err
	}
	part := c.on(c.cluster)
	stages := []api.Stage{api.StageFenced, api.StageRestored, api.StageChecked, api.StageOpened}
	switch under := part.restore; {
	case under == nil && r.Stage == "":
		return api.Done{}, nil
	case under == nil:
		return api.Done{}, refuse("no restore is under way on this host that could come to stage %q", r.Stage)
	case r.Stage == "" && under.Stage != api.StageOpened:
		return api.Done{}, refuse("a restore of %s is under way, and cannot be over before it is %s", under.Source, api.StageOpened)
	case r.Stage != "" && r.Stage != api.StageChecked && r.Stage != api.StageOpened:
		return api.Done{}, refuse("a restore does not come to stage %q by being told", r.Stage)
	case r.Stage != "" && r.Stage != under.Stage && slices.Index(stages, r.Stage) != slices.Index(stages, under.Stage)+1:
		return api.Done{}, refuse("a restore of %s is under way (%s), and cannot come to stage %s from there", under.Source, under.Stage, r.Stage)
	}
	m := c.directory(part.marker.DataDir).member
	switch r.Stage {
	case api.StageChecked:
		if m.Proofs < 1 {
			c.broken(AgreedTwice, "it was checked, and nobody has compared it")
		}
	case api.StageOpened:
		if m.Proofs < 2 {
			c.broken(AgreedTwice, "it was opened, and was compared %d times", m.Proofs)
		}
		c.open(m)
	case "":
		delete(c.Host.fetched, api.FetchedSnapshot(part.marker.DataDir, part.restore.Snapshot))
		part.restore = nil
		return api.Done{}, nil
	}
	part.restore.Stage = r.Stage
	return api.Done{}, nil
}

// open marks the restored cluster as open: clients may have seen its content from then on. What the old cluster had
// acknowledged is given up with that.
func (c call) open(m *model.Member) {
	w := c.world
	if w.opened[c.cluster] == m.Cluster {
		return
	}
	if begins := m.State().Revision; begins < w.highest[c.cluster]+2 {
		c.broken(NewRevisions, "it begins with revision %d, and clients have seen %d", begins, w.highest[c.cluster])
	}
	w.opened[c.cluster] = m.Cluster
	w.puts = slices.DeleteFunc(w.puts, func(p put) bool { return p.cluster == c.cluster })
	w.oneServes()
}

// rollBack restores what the host was before the restore.
func (c call) rollBack(r api.RollBackRequest) (api.Done, error) {
	part := c.on(c.cluster)
	under := part.restore
	if part.marker != nil {
		if err := c.mayChange(r.Owner); err != nil {
			return api.Done{}, err
		}
	}
	if under == nil {
		return api.Done{}, nil
	}
	if under.Stage == api.StageOpened {
		return api.Done{}, refuse("the restore was opened to clients")
	}
	if err := c.mustHaveDisk(part); err != nil {
		return api.Done{}, err
	}
	dir := part.marker.DataDir
	part.unit.Stop()
	c.world.convene()
	if under.Stage != api.StageFenced {
		c.moveAside(dir, "rolled-back")
	}
	if under.Aside != "" {
		c.data[dir] = c.data[under.Aside]
		delete(c.data, under.Aside)
	}
	part.restore = nil
	if under.Marker == nil {
		delete(c.clusters, c.cluster)
		return api.Done{}, nil
	}
	part.marker, part.flags, part.unit.Enabled, part.selected = under.Marker, under.Flags, under.Enabled, orElse(under.Marker.Store, part.selected)
	part.progress = 0 // it was the restored member's
	c.note(part)
	return api.Done{}, nil
}

// noneServes fails the test if a member of another cluster of this name runs on a host that could have been fenced.
func (c call) noneServes(cluster string) {
	c.world.each(func(h *Host, part *installation) {
		if p := part.unit.Process; p != nil && part == h.on(c.cluster) && p.Member.Cluster != cluster && h.Unreachable == nil && !c.world.struck[h.Address] {
			c.broken(NoneServes, "restore: %s runs on %s", p.Member.Name, h.Address)
		}
	})
}

// oneServes fails the test if a running member breaks a rule of restores.
func (w *World) oneServes() {
	w.each(func(h *Host, part *installation) {
		p := part.unit.Process
		if p == nil || part.marker == nil {
			return
		}
		name := part.marker.Cluster
		c := call{Host: h, cluster: name}
		if opened := w.opened[name]; opened != "" && p.Leader != "" && p.Member.Cluster != opened && h.Unreachable == nil && !w.struck[h.Address] && part.restore == nil {
			c.broken(OneServes, "%s of cluster %s serves", p.Member.Name, p.Member.Cluster)
		}
		under := part.restore
		if under != nil && under.Stage != api.StageOpened && slices.ContainsFunc(strings.Split(p.Flags["listen-client-urls"], ","), func(url string) bool { return !strings.HasPrefix(url, "https://127.0.0.1:") }) {
			c.broken(Isolated, "%s listens on %s", p.Member.Name, p.Flags["listen-client-urls"])
		}
	})
}
