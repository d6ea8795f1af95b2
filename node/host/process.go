package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// startedVariable is the variable of a member's environment by which `store run` leaves word of what it
// started etcd by. The kernel keeps it for as long as the process lives. etcd complains of variables that
// begin with ETCD_ and that it does not know.
const startedVariable = "STORE_STARTED="

// started is what startedVariable holds. What could not be read is empty: not known.
type started struct {
	UnitSHA256 string `json:"unit_sha256"`
	PeerCA     string `json:"peer_ca"`
	ClientCA   string `json:"client_ca"`
}

// Started is the entry for the environment of the cluster's member that is started now.
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

// sum is the SHA-256 of a file, in hexadecimal; empty: it could not be read.
func (m *Machine) sum(path string) string {
	text, err := os.ReadFile(m.path(path))
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// process is what a unit's main process was started with; nil: it is not etcd, or not yet, or has ended
// while it was looked at.
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
	// The kernel says " (deleted)" after the name of a file that is gone: that is no installed store.
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
