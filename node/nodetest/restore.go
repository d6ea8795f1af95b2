package nodetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
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
	known := r.SHA256
	if known == "" && r.Source.Upload != nil {
		known = r.Source.Upload.SHA256
	}
	keep := known
	if under := c.on(c.cluster).restore; under != nil && under.Stage != api.StageFenced {
		keep = under.Snapshot
	}
	c.removeFetched(r.DataDir, keep)
	if held, there := c.fetched[api.FetchedSnapshot(r.DataDir, known)]; there {
		return held.describe(r.DataDir), nil
	}
	sent, err := c.sent(r.Source, r.Owner, r.From)
	if err != nil {
		return api.Snapshot{}, err
	}
	sum := sha256.Sum256(sent)
	read := content{sha256: hex.EncodeToString(sum[:]), size: int64(len(sent))}
	if _, err := fmt.Sscanf(string(sent), "snapshot %d %d %s", &read.revision, &read.bumped, &read.content); err != nil {
		return api.Snapshot{}, refuse("what was sent is no snapshot: %v", err)
	}
	if r.SHA256 != "" && r.SHA256 != read.sha256 {
		return api.Snapshot{}, refuse("what was sent has the SHA-256 %s, and %s was asked for", read.sha256, r.SHA256)
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
	if err := systemd.CheckDataDir(r.DataDir); err != nil {
		return refuse("data directory %q: %s", r.DataDir, err)
	}
	switch {
	case r.From < 0 || r.From > 0 && (r.Source.Upload == nil || r.From > r.Source.Upload.SizeBytes):
		return refuse("an upload cannot be resumed after byte %d", r.From)
	case r.SHA256 != "" && api.CheckSHA256(r.SHA256, "a snapshot") != nil:
		return api.CheckSHA256(r.SHA256, "a snapshot")
	case model.MinorOf(r.MinorVersion) == 0:
		return refuse("%q is no minor version of etcd, like 3.7", r.MinorVersion)
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
	case s == (api.Source{}):
		return nil, refuse("a snapshot comes from one place: an upload, a path of the host, S3, or a backup")
	case s.Path != "":
		return nil, refuse("%s is not there", s.Path)
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
	if under := part.restore; under != nil && under.Stage != api.StageFenced {
		if under.Snapshot != r.Snapshot {
			return api.Restoration{}, refuse("a restore of %s is under way", under.Source)
		}
		return *under, nil
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
	part.unit.Stop()
	if part.restore == nil {
		part.restore = &api.Restoration{Stage: api.StageFenced, Began: c.world.Clock}
		c.remember(part)
	}
	if m := c.directory(part.marker.DataDir).member; m != nil {
		part.restore.ClusterID, part.restore.Revision = m.Cluster, m.HighestRevision()
	}
	part.restore.Source, part.restore.Snapshot = r.Source, r.Snapshot
	part.unit.Enabled = false
	c.world.convene()
	return *part.restore, nil
}

// before is the rest of what a host has recorded of a restore: what it was before, and the cluster that was made.
type before struct {
	selected, unit string
	progress       uint64
	made           string // cluster ID
}

// restore makes the data directory from the fetched snapshot.
func (c call) restore(r api.RestoreRequest) (api.Restored, error) {
	part := c.on(c.cluster)
	if err := systemd.CheckDataDir(r.Marker.DataDir); err != nil {
		return api.Restored{}, refuse("data directory %q: %s", r.Marker.DataDir, err)
	}
	if err := api.CheckRestore(c.cluster, r); err != nil {
		return api.Restored{}, err
	}
	if err := c.mayRestore(part, r); err != nil {
		return api.Restored{}, err
	}
	if under := part.restore; under != nil && under.Stage != api.StageFenced {
		return api.Restored{ClusterID: part.marker.ClusterID, MemberID: part.marker.MemberID, Aside: under.Aside}, nil
	}
	if err := c.mustHaveDisk(part); err != nil {
		return api.Restored{}, err
	}
	if err := c.mustNotCollide(r.Marker); err != nil {
		return api.Restored{}, err
	}
	dir := r.Marker.DataDir
	held := c.fetched[api.FetchedSnapshot(dir, r.Snapshot)]
	begins := held.state().Raised(r.Bump).Revision
	if under := part.restore; under != nil && under.Revision > 0 && begins < under.Revision+2 {
		return api.Restored{}, refuse("the restored cluster would begin at revision %d, and clients may have seen revision %d from this host: raise revisions by %d more", begins, under.Revision, under.Revision+2-begins)
	}
	former := c.former(part.marker, r.Marker)
	m := c.reborn(r, held)
	c.noneServes(m.Cluster)
	if part.restore == nil {
		part.unit.Stop()
		part.restore = &api.Restoration{Began: c.world.Clock}
		if part.marker != nil && part.marker.Token != r.Marker.Token {
			c.remember(part)
		}
	}
	part.restore.Source, part.restore.Snapshot, part.restore.Stage = r.Source, r.Snapshot, api.StageRestored
	part.restore.Token, part.restore.Bump, part.restore.Aside = r.Marker.Token, r.Bump, c.moveAside(dir, "restore")
	part.before.made = m.Cluster
	c.data[dir] = &directory{member: m}
	r.Marker.Former = former
	r.Marker.ClusterID, r.Marker.MemberID = m.Cluster, m.ID
	c.record(part, r.Marker)
	return api.Restored{ClusterID: m.Cluster, MemberID: m.ID, Aside: part.restore.Aside}, nil
}

// mayRestore refuses a host that is not fenced for this restore, and a directory that holds anything except the old
// member's data and this restore's.
func (c call) mayRestore(part *installation, r api.RestoreRequest) error {
	if part.marker != nil {
		if err := c.mayChange(r.Marker.Owner); err != nil {
			return err
		}
	}
	dir, under := r.Marker.DataDir, part.restore
	switch {
	case under != nil && under.Snapshot != r.Snapshot:
		return refuse("a restore of %s is under way, with snapshot %s, and snapshot %s is to be restored: fence the host for that", under.Source, under.Snapshot, r.Snapshot)
	case under == nil && part.marker != nil && (part.marker.Phase != api.PhaseForming || c.directory(part.marker.DataDir).member != nil):
		return refuse("member %s of cluster %s is not fenced: fence it first", part.marker.Member, c.cluster)
	}
	if under != nil && under.Stage != api.StageFenced {
		if under.Token != r.Marker.Token || under.Bump != r.Bump {
			return refuse("a restore of %s is under way, with token %s and revisions raised by %d", under.Source, under.Token, under.Bump)
		}
		if why := c.notRestored(part); why != "" {
			return refuse("%s", why)
		}
		return nil
	}
	if _, there := c.fetched[api.FetchedSnapshot(dir, r.Snapshot)]; !there {
		return refuse("snapshot %s is not on this host: fetch it first", r.Snapshot)
	}
	if !c.directory(dir).empty() && (under == nil || under.Marker == nil || under.Marker.DataDir != dir) {
		return refuse("data directory %s is not empty, and what lies in it was not made by this cluster", dir)
	}
	return nil
}

// remember records what a host is before a restore.
func (c call) remember(part *installation) {
	part.restore.Marker, part.restore.Flags, part.restore.Enabled = part.markerCopy(), slices.Clone(part.flags), part.unit.Enabled
	part.restore.ClusterID = part.marker.ClusterID
	part.before = before{selected: part.selected, unit: part.unit.Text, progress: part.progress}
}

// removeFetched removes the snapshots for a data directory that were fetched, except one of this SHA-256.
func (h *Host) removeFetched(dir, keep string) {
	maps.DeleteFunc(h.fetched, func(at string, s content) bool { return at == api.FetchedSnapshot(dir, s.sha256) && s.sha256 != keep })
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
		if m != nil && m.Proofs < 1 {
			c.broken(AgreedTwice, "it was checked, and nobody has compared it")
		}
	case api.StageOpened:
		if m != nil && m.Proofs < 2 {
			c.broken(AgreedTwice, "it was opened, and was compared %d times", m.Proofs)
		}
		if m != nil {
			c.open(m)
		}
	case "":
		c.removeFetched(part.marker.DataDir, "")
		part.restore, part.before = nil, before{}
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
	c.removeFetched(dir, "")
	was := part.before
	part.restore, part.before = nil, before{}
	if under.Marker == nil {
		delete(c.clusters, c.cluster)
		c.sweep(c.cluster, part.selected)
		return api.Done{}, nil
	}
	part.marker, part.flags, part.unit.Enabled, part.progress = under.Marker, under.Flags, under.Enabled, was.progress
	if c.hasStore(was.selected) {
		part.selected = was.selected
	}
	part.unit.Text = orElse(was.unit, part.unit.Text)
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
