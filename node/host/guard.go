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
	marker, err := m.records().Marker(cluster)
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
	_, err = m.maySetOut(*marker, flags, false)
	return err
}

// maySetOut says by which check a member must not be started, or go on where it runs. A recovery that was cut short goes on from
// one that is to start alone, and nobody else starts it; one that runs has passed that.
func (m *Machine) maySetOut(marker api.Marker, flags []string, runs bool) (api.GuardCheck, error) {
	if check, err := m.guard(marker, flags); err != nil || runs {
		return check, err
	}
	if err := m.mustBeAlone(marker, flags); err != nil {
		return api.GuardAlone, fmt.Errorf("member %s of cluster %s: %w", marker.Member, marker.Cluster, err)
	}
	return "", nil
}

// guard makes the guard's checks, and says which of them does not pass.
func (m *Machine) guard(marker api.Marker, flags []string) (api.GuardCheck, error) {
	for _, check := range []struct {
		name   api.GuardCheck
		passes func(api.Marker) error
	}{
		// First, since nothing that the others read is known while the disk is away, a fenced member's data too.
		{api.GuardMount, m.guardMount},
		// Then this one, since what the others say of a member that a restore has fenced would have somebody mend it.
		{api.GuardRestore, m.guardFenced},
		{api.GuardPath, func(marker api.Marker) error { return guardPath(marker, flags) }},
		{api.GuardRestore, m.guardRestored},
		{api.GuardData, m.guardData},
		{api.GuardIdentity, m.guardIdentity},
		{api.GuardProgress, m.guardProgress},
	} {
		if err := check.passes(marker); err != nil {
			return check.name, fmt.Errorf("member %s of cluster %s: %w", marker.Member, marker.Cluster, err)
		}
	}
	return "", nil
}

// guardPath wants etcd to be told the data directory that the host recorded: with another, it would
// start as a member that has forgotten everything.
func guardPath(marker api.Marker, flags []string) error {
	if flags == nil {
		return errors.New("it has no flags to run by: its data was set aside, or it was never configured to its end; apply again")
	}
	if given := api.FlagValue(flags, "data-dir"); given != marker.DataDir {
		return fmt.Errorf("its flags name data directory %q and its host recorded %q: the files were changed by hand; apply again", given, marker.DataDir)
	}
	return nil
}

// guardMount wants the data directory on the file system that it was prepared on.
func (m *Machine) guardMount(marker api.Marker) error {
	away, err := m.away(marker.DataDir, marker.Mount)
	if err == nil && away != "" {
		err = fmt.Errorf("%s: mount what belongs there", away)
	}
	return err
}

// guardData wants a member that has joined its cluster to have its data: without, it would vote as
// one that never saw what it has confirmed.
func (m *Machine) guardData(marker api.Marker) error {
	names, err := m.dataDir(marker.DataDir).Contents()
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("data directory %s is not there: if it is on a disk of its own, mount that; if it is lost, the plan says what can be done", marker.DataDir)
	}
	if err != nil {
		return err
	}
	if marker.Phase != api.PhaseFormed || m.etcd(marker.DataDir).HasMember() {
		return nil
	}
	return fmt.Errorf("it has joined its cluster, and data directory %s holds no member's data (%d entries): if it is on a disk of its own, mount that; if it is lost, the plan says what can be done. It must not start again without what it has confirmed", marker.DataDir, len(names))
}

// guardIdentity wants the data to be this member's. One whose log does not say whose it is, is not for the
// guard to judge: etcd does not start on it.
func (m *Machine) guardIdentity(marker api.Marker) error {
	if marker.Phase == api.PhaseForming || !m.etcd(marker.DataDir).HasMember() {
		return nil
	}
	cluster, member, err := m.etcd(marker.DataDir).Identity()
	if err != nil {
		return nil
	}
	otherCluster := marker.ClusterID != "" && marker.ClusterID != api.FormatID(cluster)
	otherMember := marker.MemberID != "" && marker.MemberID != api.FormatID(member)
	if otherCluster || otherMember {
		return fmt.Errorf("data directory %s holds the data of member %x of cluster %x, and the host recorded member %s of cluster %s: put its own data there; if that is lost, the plan says what can be done", marker.DataDir, member, cluster, marker.MemberID, marker.ClusterID)
	}
	return nil
}

// guardProgress wants the database to be no older than it was when it was last recorded: the member would
// have forgotten what it has confirmed. A record of another member counts for nothing, and a database that
// cannot be read is etcd's to complain of; one that is locked is a running member's, which has passed.
func (m *Machine) guardProgress(marker api.Marker) error {
	before, err := m.records().Progress(marker.Cluster)
	if err != nil || before.Index == 0 || !m.etcd(marker.DataDir).HasMember() {
		return err
	}
	cluster, member, err := m.etcd(marker.DataDir).Identity()
	if err != nil || before.ClusterID != api.FormatID(cluster) || before.MemberID != api.FormatID(member) {
		return nil
	}
	index, err := m.etcd(marker.DataDir).ConsistentIndex()
	if err != nil || index >= before.Index {
		return nil
	}
	return fmt.Errorf("the database in %s has applied its log up to entry %d, and it had come to entry %d before: it was rolled back, by a backup or a snapshot of its disk. A member that has forgotten what it has confirmed can lose the cluster's data; the plan says what can be done. Whoever knows better removes %s", marker.DataDir, index, before.Index, api.ProgressFile(marker.Cluster))
}
