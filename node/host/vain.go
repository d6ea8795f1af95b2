package host

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
)

// A member whose data is large, on a disk that is slow, may take minutes until it ends over what is wrong with it. So how
// long a process is awaited that may end, and from when on it counts as one that stays, go by how long the one before it
// has run. systemd knows that until it starts the next, and has the store record it.

// vain is what vainFile holds.
type vain struct {
	Lasted time.Duration `json:"lasted"` // nanoseconds
}

// vainFile is where it is kept, until the host boots.
func vainFile(cluster string) string { return filepath.Join(api.RunDir, "vain-"+cluster+".json") }

// noteVain notes how long the process has run that has just ended. It is a hint for who looks, and fails nothing.
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

// lastVain is how long the last process ran that was started in vain; 0: not known, or the last one was not.
func (m *Machine) lastVain(cluster string) time.Duration {
	var last vain
	text, err := os.ReadFile(m.path(vainFile(cluster)))
	if err != nil || json.Unmarshal(text, &last) != nil {
		return 0
	}
	return max(last.Lasted, 0)
}

// mayEndBy is the age from which on a process counts as one that stays, where those before it have ended.
func mayEndBy(u api.UnitState) time.Duration { return u.Vain + max(loopAge, u.Vain/2) }
