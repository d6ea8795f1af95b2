package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// Progress is what api.ProgressFile holds: how far a member's database had come, synced to the disk.
type Progress struct {
	ClusterID string `json:"cluster_id"`
	MemberID  string `json:"member_id"`
	Index     uint64 `json:"index"` // the database's consistent index
}

// PutProgress records how far a member has come. etcd's group may read it, for the guard.
func (r Records) PutProgress(cluster string, now Progress) error {
	text, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("encode how far the member has come: %w", err)
	}
	etcd, err := r.SystemUser()
	if err != nil {
		return err
	}
	_, err = r.Files.Put(files.File{Path: api.ProgressFile(cluster), Text: append(text, '\n'), Owner: files.RootFor(etcd), Mode: files.ConfigFile})
	return err
}

// Progress returns what was recorded last, or the zero Progress if nothing was.
func (r Records) Progress(cluster string) (Progress, error) {
	text, err := inside.ReadFile(r.Files.Path(api.ProgressFile(cluster)))
	if errors.Is(err, fs.ErrNotExist) {
		return Progress{}, nil
	}
	var p Progress
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, fmt.Errorf("%s, which says how far the member has come, cannot be read: %w", api.ProgressFile(cluster), err)
	}
	return p, nil
}
