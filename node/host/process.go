package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// startedVariable is the environment variable in which `store run` records what it started etcd with. The kernel keeps
// it for as long as the process lives. Its name does not begin with ETCD_, since etcd complains of such variables that
// it does not know.
const startedVariable = "STORE_STARTED="

// started is what startedVariable holds. A field that could not be read is empty: unknown.
type started struct {
	UnitSHA256 string `json:"unit_sha256"`
	PeerCA     string `json:"peer_ca"`
	ClientCA   string `json:"client_ca"`
}

// Started returns the environment entry for the cluster's member that is started now.
func (m *Machine) Started(cluster string) (string, error) {
	text, err := json.Marshal(started{
		UnitSHA256: m.sum(api.UnitFile(cluster)),
		PeerCA:     m.sum(api.PeerCAFile(cluster)),
		ClientCA:   m.sum(api.ClientCAFile(cluster)),
	})
	if err != nil {
		return "", fmt.Errorf("encode what the member is started by: %w", err)
	}
	return startedVariable + string(text), nil
}

// sum returns the SHA-256 of a file in hexadecimal, or "" if it could not be read.
func (m *Machine) sum(path string) string {
	text, err := inside.ReadFile(m.path(path))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// process returns what a unit's main process was started with. It returns nil if the process is not etcd, not yet etcd,
// or ended while it was read.
func (m *Machine) process(pid int) *api.Process {
	if pid == 0 {
		return nil
	}
	arguments := m.proc().Arguments(pid)
	if len(arguments) == 0 || filepath.Base(arguments[0]) != "etcd" {
		return nil
	}
	p := api.Process{Flags: arguments[1:]}
	if last := len(p.Flags) - 1; last >= 0 && p.Flags[last] == uncompared {
		p.Flags = p.Flags[:last] // it is not of its configuration, and was of that one start
	}
	// The kernel appends " (deleted)" to the name of a deleted file: that is no installed store.
	if binary, err := m.proc().Binary(pid); err == nil {
		p.Store = m.stores().Of(binary)
	}
	for _, variable := range m.proc().Environment(pid) {
		var s started
		if text, ok := strings.CutPrefix(variable, startedVariable); ok && json.Unmarshal([]byte(text), &s) == nil {
			p.UnitSHA256, p.PeerCA, p.ClientCA = s.UnitSHA256, s.PeerCA, s.ClientCA
		}
	}
	return &p
}
