package host

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// ErrDiskAway is of a refusal that ends by itself where a disk is mounted late: systemd orders a member after those
// mounts alone that it knows when it starts.
var ErrDiskAway = errors.New("the file system of its data is not mounted")

// Guard returns why the cluster's member must not be started on this host now, or nil if it may. It runs as the user
// that etcd runs as, reads only, and needs nothing but the files. The error is ErrDiskAway's if a disk is missing.
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
	check, err := m.maySetOut(*marker, flags, false)
	if check == api.GuardMount {
		err = diskAwayError{err}
	}
	return err
}

// diskAwayError has a refusal of the mount check be ErrDiskAway.
type diskAwayError struct{ error }

func (diskAwayError) Is(target error) bool { return target == ErrDiskAway }

// maySetOut returns by which check a member must not be started, or must not continue where it runs. An interrupted
// recovery resumes from a member that is to start alone, and that nobody else starts. A running member has passed that
// check.
func (m *Machine) maySetOut(marker api.Marker, flags []string, runs bool) (api.GuardCheck, error) {
	if check, err := m.guard(marker, flags); err != nil || runs {
		return check, err
	}
	if err := m.mustBeAlone(marker, flags); err != nil {
		return api.GuardAlone, fmt.Errorf("member %s of cluster %s: %w", marker.Member, marker.Cluster, err)
	}
	return "", nil
}

// guard runs the guard's checks, and says which of them fails.
func (m *Machine) guard(marker api.Marker, flags []string) (api.GuardCheck, error) {
	for _, check := range []struct {
		name   api.GuardCheck
		passes func(api.Marker) error
	}{
		// This check comes first: the other checks can know nothing while the disk is not mounted, not even about a
		// fenced member.
		{api.GuardMount, m.guardMount},
		// This check comes next: what the other checks say of a member that a restore has fenced would suggest a
		// repair.
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

// guardPath requires that etcd is given the data directory that the host has recorded. With another one, the member
// would start without everything that it knew.
func guardPath(marker api.Marker, flags []string) error {
	if flags == nil {
		return errors.New("it has no flags to run by: its data was set aside, or it was never configured to its end; apply again")
	}
	if given := api.FlagValue(flags, "data-dir"); given != marker.DataDir {
		return fmt.Errorf("its flags name data directory %q and its host recorded %q: the files were changed by hand; apply again", given, marker.DataDir)
	}
	return nil
}

// guardMount requires that the data directory lies on the file system on which it was prepared.
func (m *Machine) guardMount(marker api.Marker) error {
	away, err := m.away(marker.DataDir, marker.Mount)
	if err == nil && away != "" {
		err = fmt.Errorf("%s: mount what belongs there", away)
	}
	return err
}

// guardData requires that a member which has joined its cluster has its data. Without it, the member would vote as one
// that has never seen what it has confirmed.
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

// guardIdentity requires that the data is this member's. The guard does not check a log that does not say whose it is:
// etcd does not start on it.
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

// guardProgress requires that the database is no older than it was when it was last recorded: otherwise the member has
// forgotten what it has confirmed. A record of another member does not count. A database that cannot be read is left
// for etcd to complain about. A locked database belongs to a running member, which has passed this check.
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
