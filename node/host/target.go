package host

import (
	"os"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// meant refuses a call that is meant for another machine, or for another member on this one. So a run that a wrong
// route has led here, or whose observation is stale, changes nothing.
func (m *Machine) meant(cluster string, t *api.Target) error {
	if t == nil {
		return refuse("%s", api.Untargeted)
	}
	id, err := os.ReadFile(m.path("/etc/machine-id"))
	if here := strings.TrimSpace(string(id)); err == nil && here != "" && t.MachineID != "" && here != t.MachineID {
		return refuse("this call is for the machine with the ID %s, and it came to the one with the ID %s: the address of member %s leads to another machine than before; check address, ssh_address and ssh_port, and plan again",
			t.MachineID, here, t.For)
	}
	marker, err := m.records().Marker(cluster)
	if err != nil {
		return err
	}
	carried := api.Marker{}
	if marker != nil {
		carried = *marker
	}
	return t.Differs(carried)
}
