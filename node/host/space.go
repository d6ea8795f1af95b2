package host

import (
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
)

// isCramped tells whether there is no room for a snapshot of a member that answers.
func (m *Machine) isCramped(dir string, view api.Member) (bool, error) {
	if !view.Responding || view.Learner {
		return false, nil
	}
	nearest, err := m.files().Nearest(api.SnapshotDir(dir))
	if err != nil {
		return false, err
	}
	free, err := disks.RoomAt(nearest)
	if err != nil {
		return false, err
	}
	live, err := disks.RoomToLive(nearest)
	return free.Bytes < view.DBSizeBytes+live || free.Files < disks.FewFiles, err
}
