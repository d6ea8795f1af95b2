package host

import (
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
)

// leftToMembers is what big files leave free where a path of this process lies, in favour of the members of this host that
// have their data or their log on that file system. 0: none has.
func (m *Machine) leftToMembers(path string) int64 {
	members, err := m.records().Neighbours("")
	if err != nil {
		return 0 // what is wrong with a marker is said where it is gone by
	}
	for _, member := range members {
		for _, dir := range []string{m.path(member.DataDir), m.path(etcdfs.LogDir(member.DataDir))} {
			if shared, err := disks.SameFilesystem(path, dir); err == nil && shared {
				live, _ := disks.RoomToLive(path)
				return live
			}
		}
	}
	return 0
}

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
