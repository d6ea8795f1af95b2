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
	says := func(path string) string {
		text, _ := os.ReadFile(m.path(path)) // what cannot be read is not compared
		return strings.TrimSpace(string(text))
	}
	if err := t.Elsewhere(says(machineIDFile), says(bootIDFile)); err != nil {
		return err
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
