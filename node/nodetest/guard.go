package nodetest

import (
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// guard says why the member must not be started; empty: it may. Where it refuses, systemd does not try
// again.
func (h *Host) guard(part *installation) string {
	if part.marker == nil {
		return "there is no marker"
	}
	dir, marker := parseFlags(part.flags)["data-dir"], part.marker
	if dir != marker.DataDir {
		return "its flags name another data directory than its marker"
	}
	if h.data[dir] == nil {
		return "data directory " + dir + " is not there"
	}
	if marker.Phase != api.PhaseFormed {
		return ""
	}
	switch m := h.data[dir].member; {
	case m == nil:
		return "it has joined its cluster, and its data directory holds no member's data"
	case marker.ClusterID != "" && (m.cluster != marker.ClusterID || m.id != marker.MemberID):
		return fmt.Sprintf("data directory %s holds the data of member %s of cluster %s, and it is member %s of cluster %s", dir, m.id, m.cluster, marker.MemberID, marker.ClusterID)
	case m.index < part.progress:
		return fmt.Sprintf("data directory %s ends with entry %d, and was seen to have entry %d: it was rolled back", dir, m.index, part.progress)
	}
	return ""
}

// note records how far the member's log has come, outside of its data.
func (h *Host) note(part *installation) {
	if part.marker == nil {
		return
	}
	if m := h.directory(part.marker.DataDir).member; m != nil {
		part.progress = max(part.progress, m.index)
	}
}
