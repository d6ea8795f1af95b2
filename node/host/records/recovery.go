package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// Recovery is what api.RecoveryFile holds: a recovery that is under way, with a good copy of the data.
type Recovery struct {
	ClusterID string `json:"cluster_id"`
	Copy      string `json:"copy"`
	// Term and Index are of the last entry of the log that was copied; 0: an earlier store did not record it.
	Term  uint64 `json:"term,omitempty"`
	Index uint64 `json:"index,omitempty"`
	// Agreed says that the whole log may count as agreed on by now, although only this member has agreed on it.
	Agreed bool `json:"agreed,omitempty"`
}

// Recovery returns the recovery that an interrupted call has begun, or nil.
func (r Records) Recovery(cluster string) (*Recovery, error) {
	text, err := inside.ReadFile(r.Files.Path(api.RecoveryFile(cluster)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var under Recovery
	if err == nil {
		err = json.Unmarshal(text, &under)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, which says what recovery is under way, cannot be read: %w; find out what has written it", api.RecoveryFile(cluster), err)
	}
	return &under, nil
}

// PutRecovery records a recovery that is under way. etcd's group may read it, for the guard.
func (r Records) PutRecovery(cluster string, under Recovery) error {
	text, err := json.Marshal(under)
	if err != nil {
		return fmt.Errorf("encode the recovery: %w", err)
	}
	etcd, err := r.SystemUser()
	if err != nil {
		return err
	}
	_, err = r.Files.Put(files.File{Path: api.RecoveryFile(cluster), Text: append(text, '\n'), Owner: files.RootFor(etcd), Mode: files.ConfigFile})
	return err
}

// EndRecovery removes the record of a recovery: when the recovery is complete, or when something else is done with the
// member.
func (r Records) EndRecovery(cluster string) error {
	file := r.Files.Path(api.RecoveryFile(cluster))
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(files.Remove(file), files.SyncDir(r.Files.Path(api.ConfigDir(cluster))))
}
