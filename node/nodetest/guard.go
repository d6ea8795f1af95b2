package nodetest

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

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
