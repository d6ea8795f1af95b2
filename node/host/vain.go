package host

import (
	"context"
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
)

// If a member's data is large and its disk slow, the member may run for minutes before it ends over an error. So how
// long a process that may end is waited for, and from when on it counts as one that stays, depends on how long the
// previous one ran. systemd knows that until it starts the next process, and has the store record it.

// vain is the content of vainFile.
type vain struct {
	Lasted time.Duration `json:"lasted"` // nanoseconds
}

// vainFile keeps it until the host boots.
func vainFile(cluster string) string { return filepath.Join(api.RunDir, "vain-"+cluster+".json") }

// noteVain records how long the process ran that has just ended. It is a hint for observations, so its failure is
// ignored.
func (m *Machine) noteVain(ctx context.Context, cluster string) {
	ctx, cancel := context.WithTimeout(ctx, units.Timeout)
	defer cancel()
	state, err := m.Units.State(ctx, api.Unit(cluster))
	if err != nil || state.Vain == 0 && m.lastVain(cluster) == 0 {
		return
	}
	if text, err := json.Marshal(vain{state.Vain}); err == nil && m.files().EnsureDir(api.RunDir, files.RootUser, 0o700) == nil {
		_, _ = m.files().Put(files.File{Path: vainFile(cluster), Text: text, Owner: files.RootUser, Mode: files.KeyFile})
	}
}

// lastVain returns how long the last process ran that was started in vain. It returns 0 if that is unknown, or if the
// last start was not in vain.
func (m *Machine) lastVain(cluster string) time.Duration {
	var last vain
	text, err := inside.ReadFile(m.path(vainFile(cluster)))
	if err != nil || json.Unmarshal(text, &last) != nil {
		return 0
	}
	return max(last.Lasted, 0)
}

// mayEndBy returns the age from which a process counts as one that stays, if the previous ones have ended.
func mayEndBy(u api.UnitState) time.Duration { return u.Vain + max(loopAge, u.Vain/2) }
