package host

import (
	"errors"
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// endRestoration removes the record of a restore, and what was fetched for it.
func (m *Machine) endRestoration(cluster, dataDir string) error {
	if err := m.arrivals().RemoveFetched(dataDir, "", false); err != nil {
		return err
	}
	return errors.Join(files.Remove(m.path(api.RestoreFile(cluster))), files.SyncDir(m.path(api.ConfigDir(cluster))))
}

// goOn says what a user does about a restore that is under way.
const goOn = "apply with this restore in the configuration to finish it, or with restore.roll_back = true to go back to what was there before"

// guardFenced refuses a member that a restore has fenced.
func (m *Machine) guardFenced(marker api.Marker) error {
	under, err := m.records().Restoration(marker.Cluster)
	if err != nil || under == nil || under.Stage != api.StageFenced {
		return err
	}
	return fmt.Errorf("%s, and the member that was there before must not run beside the restored ones: %s", under, goOn)
}

// guardRestored requires that a restored member has the data that it was given, whatever phase the host is in: that is
// what the other members have.
func (m *Machine) guardRestored(marker api.Marker) error {
	under, err := m.records().Restoration(marker.Cluster)
	if err != nil || under == nil {
		return err
	}
	cluster, _, err := m.etcd(marker.DataDir).Identity()
	if err != nil {
		return fmt.Errorf("%s, and the restored data is not in %s any more: %w: %s", under, marker.DataDir, err, goOn)
	}
	if api.FormatID(cluster) != under.Made {
		return fmt.Errorf("%s, and %s holds the data of cluster %x instead of that of cluster %s, which was restored: %s", under, marker.DataDir, cluster, under.Made, goOn)
	}
	return nil
}

// mustNotBeFenced refuses to start a member that the guard would refuse, before anything is stopped for that start.
func (m *Machine) mustNotBeFenced(cluster string) error {
	under, err := m.records().Restoration(cluster)
	if err == nil && under != nil && under.Stage == api.StageFenced {
		return refuse("%s: its member must not be started: %s", under, goOn)
	}
	return err
}
