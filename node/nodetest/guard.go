package nodetest

import (
	"fmt"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// maySetOut returns why the member must not be started, or not continue where it runs.
func (h *Host) maySetOut(part *installation) (check api.GuardCheck, why string) {
	if check, why = h.guard(part); why != "" || part.unit.Process != nil {
		return check, why
	}
	if why = h.mustBeAlone(part); why != "" {
		return api.GuardAlone, why
	}
	return "", ""
}

// mustBeAlone returns why a member that an interrupted recovery has left must not meet the others of its cluster, or ""
// if it may.
func (h *Host) mustBeAlone(part *installation) string {
	m := h.directory(part.marker.DataDir).member
	if part.recovery == nil || !part.recovery.agreed || m == nil || len(m.State().Members) == 1 {
		return ""
	}
	return "a recovery has taken all of its log for agreed on, and was cut short before it was alone: it must not meet the other voters"
}

// guard returns why the member must not be started, and which check fails, or nothing if it may be. systemd does not
// retry after a refusal.
func (h *Host) guard(part *installation) (check api.GuardCheck, why string) {
	dir, marker := parseFlags(part.flags)["data-dir"], part.marker
	if h.unmounted[marker.DataDir] != nil {
		return api.GuardMount, notMounted(marker.DataDir)
	}
	if part.restore != nil && part.restore.Stage == api.StageFenced {
		return api.GuardRestore, "a restore of " + part.restore.Source + " is under way"
	}
	if part.flags == nil {
		return api.GuardPath, "it has no flags to run by: its data was set aside, or it was never configured to its end"
	}
	if dir != marker.DataDir {
		return api.GuardPath, "its flags name another data directory than its marker"
	}
	if why := h.notRestored(part); why != "" {
		return api.GuardRestore, why
	}
	if h.data[dir] == nil {
		return api.GuardData, "data directory " + dir + " is not there"
	}
	formed, m := marker.Phase == api.PhaseFormed, h.data[dir].member
	switch {
	case m == nil && formed:
		return api.GuardData, "it has joined its cluster, and its data directory holds no member's data"
	case m == nil || marker.Phase == api.PhaseForming:
	case marker.ClusterID != "" && m.Cluster != marker.ClusterID || marker.MemberID != "" && m.ID != marker.MemberID:
		return api.GuardIdentity, fmt.Sprintf("data directory %s holds the data of member %s of cluster %s, and it is member %s of cluster %s", dir, m.ID, m.Cluster, marker.MemberID, marker.ClusterID)
	case formed && m.Index < part.progress:
		return api.GuardProgress, fmt.Sprintf("data directory %s ends with entry %d, and was seen to have entry %d: it was rolled back", dir, m.Index, part.progress)
	}
	return "", ""
}

// notRestored returns why a host does not have the data that a restore under way has made there, or "".
func (h *Host) notRestored(part *installation) string {
	if part.restore == nil || part.restore.Stage == api.StageFenced {
		return ""
	}
	if m := h.directory(part.marker.DataDir).member; m == nil || m.Cluster != part.before.made {
		return fmt.Sprintf("a restore of %s is under way, and %s does not hold the data that was restored", part.restore.Source, part.marker.DataDir)
	}
	return ""
}

// note records, outside of the data, how far the member's log has come.
func (h *Host) note(part *installation) {
	if part.marker == nil {
		return
	}
	if m := h.directory(part.marker.DataDir).member; m != nil {
		part.progress = max(part.progress, m.Index)
	}
}

func notMounted(dir string) string {
	return "data directory " + dir + " was on the file system that is not mounted"
}

// mustHaveDisk refuses a call while the disk with the member's data is not mounted.
func (c call) mustHaveDisk(part *installation) error {
	if part.marker != nil && c.unmounted[part.marker.DataDir] != nil {
		return refuse("%s: nothing is done to it", notMounted(part.marker.DataDir))
	}
	return nil
}

// mayClaim refuses a host that another owner's finished cluster is on.
func (c call) mayClaim(part *installation, marker api.Marker) error {
	if marker.Cluster != c.cluster {
		return c.world.unexpected("%s: a marker of cluster %q in a call for cluster %q", c.Address, marker.Cluster, c.cluster)
	}
	if old := part.marker; old != nil && old.Phase != api.PhaseForming && old.Owner != marker.Owner {
		return refuse("this host is member %s of cluster %s already, which is formed and managed by another Terraform object", old.Member, old.Cluster)
	}
	if old := part.marker; old != nil && old.Phase == api.PhaseFormed && marker.Phase == api.PhaseJoining && c.directory(old.DataDir).member != nil {
		return refuse("this host is to join cluster %s as a learner, and %s holds the data of member %s, which has joined it already: set that aside first", old.Cluster, old.DataDir, old.Member)
	}
	return c.mustNotCollide(marker)
}

// mustNotCollide refuses a resource of the host that another cluster on it uses.
func (c call) mustNotCollide(marker api.Marker) error {
	for name, other := range c.clusters {
		if name == c.cluster || other.marker == nil {
			continue
		}
		ports := []int{other.marker.ClientPort, other.marker.PeerPort, other.marker.MetricsPort}
		for _, port := range []int{marker.ClientPort, marker.PeerPort, marker.MetricsPort} {
			if slices.Contains(ports, port) {
				return refuse("cluster %s on this host has port %d: give each cluster its own", name, port)
			}
		}
		if dir := other.marker.DataDir; api.Within(marker.DataDir, dir) || api.Within(dir, marker.DataDir) {
			return refuse("cluster %s on this host has data directory %s, beside %s: give each cluster its own", name, marker.DataDir, dir)
		}
		if b := other.backups; b != nil {
			for _, dir := range []string{b.Directory, b.MetricsDir} {
				if dir != "" && api.Overlap(dir, marker.DataDir) != "" {
					return refuse("data directory %s lies in %s, or that in it, where cluster %s on this host keeps its backups", marker.DataDir, dir, name)
				}
			}
		}
	}
	return nil
}

// mayChange refuses a host that carries no such cluster, or another owner's.
func (c call) mayChange(owner string) error {
	switch marker := c.on(c.cluster).marker; {
	case marker == nil:
		return refuse("this host carries no cluster %s", c.cluster)
	case marker.Owner != owner:
		return refuse("cluster %s on this host is managed by another Terraform object", c.cluster)
	}
	return nil
}
