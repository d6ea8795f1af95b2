package nodetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// snapshotSize is that of all snapshots that are sent: of a page, and a SHA-256 behind it.
const snapshotSize = 512 + sha256.Size

// save sends a snapshot of the local member, or says that it was uploaded.
func (c call) save(r api.SaveRequest) (api.Saved, error) {
	if err := c.mayChange(r.Owner); err != nil {
		return api.Saved{}, err
	}
	p := c.on(c.cluster).unit.Process
	switch {
	case p == nil || !p.Serves:
		return api.Saved{}, failed("save a snapshot: the local member does not answer")
	case !p.Member.State().Votes(p.Member.ID):
		return api.Saved{}, refuse("member %s is a learner, through which nothing of the cluster can be changed or saved: ask a voter", p.Member.Name)
	case p.Leader == "":
		return api.Saved{}, refuse("member %s cannot reach a majority of the voters, and may be behind: ask another voter", p.Member.Name)
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
	_, err := c.out.Write([]byte(content))
	return saved, err
}

// snapshotOf is what a snapshot of a state holds.
func snapshotOf(s model.State) string {
	return fmt.Sprintf("%-*s", snapshotSize, fmt.Sprintf("snapshot %d %d %s", s.Stored(), s.Bumped, s.Content))
}
