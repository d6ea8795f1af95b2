package host

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Guard says why the cluster's member must not be started on this host now; nil: it may. It runs as
// the user that etcd runs as, reads alone, and needs nothing but the files.
func (m *Machine) Guard(cluster string) error {
	marker, err := m.marker(cluster)
	if err != nil {
		return err
	}
	if marker == nil {
		return fmt.Errorf("there is no %s, which says whose member this is: it was retired, or its configuration is lost; apply again, and keep the data directory until then", api.MarkerFile(cluster))
	}
	flags, err := m.flags(cluster)
	if err != nil {
		return err
	}
	for _, check := range []func(api.Marker, []string) error{m.guardPath, m.guardData} {
		if err := check(*marker, flags); err != nil {
			return fmt.Errorf("member %s of cluster %s: %w", marker.Member, cluster, err)
		}
	}
	return nil
}

// guardPath wants etcd to be told the data directory that the host recorded: with another, it would
// start as a member that has forgotten everything.
func (m *Machine) guardPath(marker api.Marker, flags []string) error {
	if flags == nil {
		return errors.New("it has no flags to run by: its data was set aside, or it was never configured to its end; apply again")
	}
	if given := flagValue(flags, "data-dir"); given != marker.DataDir {
		return fmt.Errorf("its flags name data directory %q and its host recorded %q: the files were changed by hand; apply again", given, marker.DataDir)
	}
	return nil
}

// guardData wants a member that has joined its cluster to have its data: without, it would vote as
// one that never saw what it has confirmed.
func (m *Machine) guardData(marker api.Marker, _ []string) error {
	names, err := m.contents(marker.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data directory %s is not there: if it is on a disk of its own, mount that; if it is lost, the plan says what can be done", marker.DataDir)
	}
	if err != nil {
		return err
	}
	if marker.Phase != api.PhaseFormed || m.hasMember(marker.DataDir) {
		return nil
	}
	return fmt.Errorf("it has joined its cluster, and data directory %s holds no member's data (%d entries): if it is on a disk of its own, mount that; if it is lost, the plan says what can be done. It must not start again without what it has confirmed", marker.DataDir, len(names))
}
