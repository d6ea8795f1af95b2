package nodetest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// snapshotSize is the size of all snapshots that are sent: one page, and a SHA-256.
const snapshotSize = 512 + sha256.Size

// sentSnapshot is a snapshot that was sent, or a part of it.
type sentSnapshot struct {
	id, content string
	saved       api.Saved
}

// save sends a snapshot of the local member, or reports that it was uploaded.
func (c call) save(r api.SaveRequest) (api.Saved, error) {
	if err := r.Check(); err != nil {
		return api.Saved{}, err
	}
	if r.From > 0 {
		return c.saveRest(r)
	}
	p, err := c.voter(r.Owner)
	if err != nil {
		return api.Saved{}, err
	}
	if p.Leader == "" {
		return api.Saved{}, refuse("member %s cannot reach a majority of the voters, and may be behind: ask another voter", p.Member.Name)
	}
	if err := c.mustHoldSnapshot(); err != nil {
		return api.Saved{}, err
	}
	s := p.Member.State()
	content := snapshotOf(s)
	sum := sha256.Sum256([]byte(content))
	saved := api.Saved{
		Snapshot:  api.Snapshot{SHA256: hex.EncodeToString(sum[:]), SizeBytes: int64(len(content)), Revision: s.Stored(), Keys: s.Keys(), Version: p.Member.Storage.String(), TakenAt: c.world.Clock},
		Hash:      crc32.ChecksumIEEE([]byte(content)),
		ClusterID: p.Member.Cluster, MemberID: p.Member.ID, Etcd: p.Version,
	}
	if r.S3 != nil || c.out == nil {
		return saved, nil
	}
	return saved, c.send(sentSnapshot{r.ID, content, saved}, 0)
}

// send sends a snapshot from a byte on, and keeps it if the caller is cut off.
func (c call) send(s sentSnapshot, from int64) error {
	c.kept = sentSnapshot{}
	rest, cut := s.content[from:], error(nil)
	if 0 < c.SendsPart && c.SendsPart < len(rest) {
		rest, cut = rest[:c.SendsPart], ErrCut
	}
	c.SendsPart = 0
	_, err := io.WriteString(c.out, rest)
	if err = errors.Join(err, cut); err != nil && s.id != "" {
		c.kept = s
	}
	return err
}

// saveRest sends the rest of a snapshot to a caller that was cut off.
func (c call) saveRest(r api.SaveRequest) (api.Saved, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.Saved{}, err
	}
	kept := c.kept
	switch {
	case kept.id != r.ID:
		return api.Saved{}, refuse("%s", api.SnapshotGone)
	case r.From > int64(len(kept.content)):
		return api.Saved{}, refuse("the snapshot has %d bytes, and cannot be sent from byte %d on", len(kept.content), r.From)
	}
	return kept.saved, c.send(kept, r.From)
}

// snapshotOf returns what a snapshot of a state holds.
func snapshotOf(s model.State) string {
	page := fmt.Sprintf("%-*s", snapshotSize-sha256.Size, fmt.Sprintf("snapshot %d %d %s", s.Stored(), s.Bumped, s.Content))
	sum := sha256.Sum256([]byte(page))
	return page + string(sum[:])
}

// snapshot saves the data of the local member.
func (c call) snapshot(r api.SnapshotRequest) (api.Snapshot, error) {
	if r.Keep < 1 {
		return api.Snapshot{}, c.world.unexpected("%s: a snapshot of which %d are kept", c.Address, r.Keep)
	}
	p, err := c.voter(r.Owner)
	if err != nil {
		return api.Snapshot{}, err
	}
	if err := c.mustHoldSnapshot(); err != nil {
		return api.Snapshot{}, err
	}
	s := p.Member.State()
	dir := c.on(c.cluster).marker.DataDir
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
	former := c.on(c.cluster).marker.Former
	own := slices.DeleteFunc(slices.Clone(kept), func(path string) bool { return slices.Contains(former, path) })
	goes := own[:max(0, len(own)-r.Keep)]
	c.snapshots[dir] = slices.DeleteFunc(kept, func(path string) bool { return slices.Contains(goes, path) })
	return saved, nil
}

// former returns what lies beside the data directory of clusters that were there before.
func (h *Host) former(old *api.Marker, marker api.Marker) []string {
	if old != nil && old.Owner == marker.Owner && old.DataDir == marker.DataDir {
		return old.Former
	}
	return append(h.aside(marker.DataDir), h.snapshots[marker.DataDir]...)
}

// mustHoldSnapshot refuses a snapshot of the local member that there is no room for.
func (c call) mustHoldSnapshot() error {
	if c.cramped(c.view(c.cluster)) {
		return refuse("%s has %d MiB free, and a snapshot of the member's database wants more", api.SnapshotDir(c.on(c.cluster).marker.DataDir), c.FreeBytes>>20)
	}
	return nil
}

// Snapshots returns the paths of the snapshots beside a data directory, oldest first.
func (h *Host) Snapshots(dir string) []string {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	return slices.Clone(h.snapshots[dir])
}
