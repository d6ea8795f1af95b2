package host

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// If a disk is not mounted, whatever lies under its mount point is not the cluster's data, and if nothing lies there,
// the data is not lost. So no call continues then that moves data, or drops a record of it.

// away says that a directory does not lie on the file system on which it lay, by the recorded mount point. It returns
// "" if it does, or if nothing is recorded.
func (m *Machine) away(dir, mount string) (string, error) {
	if dir == "" || mount == "" {
		return "", nil
	}
	now, err := m.disks().MountPoint(dir)
	if err != nil || now == mount {
		return "", err
	}
	return fmt.Sprintf("data directory %s was on the file system that is mounted on %s, and is on that of %s now", dir, mount, now), nil
}

// mustHaveDisk refuses a call while a file system with data of the cluster is not mounted: the member's own data, and
// what a restore has moved or made. Either record may be nil.
func (m *Machine) mustHaveDisk(marker *api.Marker, under *records.Restoration) error {
	if marker != nil {
		away, err := m.away(marker.DataDir, marker.Mount)
		if err != nil {
			return err
		}
		if away != "" {
			return refuse("%s, so nothing is done to it: mount what belongs there; if that is gone for good, take \"mount\" out of %s", away, api.MarkerFile(marker.Cluster))
		}
	}
	if under == nil {
		return nil
	}
	away, err := m.away(under.DataDir, under.MountPoint())
	if err == nil && away != "" {
		err = refuse("%s, and %s, so nothing is done to it: mount what belongs there", under, away)
	}
	return err
}
