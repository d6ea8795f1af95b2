package host

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Files that say which machine this is.
const (
	machineIDFile = "/etc/machine-id"
	bootIDFile    = "/proc/sys/kernel/random/boot_id"
)

// facts returns what the host is.
func (m *Machine) facts() (api.Facts, error) {
	f := api.Facts{Architecture: runtime.GOARCH, Time: m.Now()}
	for _, fact := range []struct {
		value *string
		path  string
	}{
		{&f.Hostname, "/proc/sys/kernel/hostname"},
		{&f.MachineID, machineIDFile},
		{&f.BootID, bootIDFile},
		{&f.Kernel, "/proc/sys/kernel/osrelease"},
	} {
		text, err := os.ReadFile(m.path(fact.path))
		if err != nil {
			return f, err
		}
		*fact.value = strings.TrimSpace(string(text))
	}
	f.OS, f.FirstPort = m.osName(), m.firstPort()
	var err error
	if f.MemoryBytes, err = m.proc().Memory(); err != nil {
		return f, err
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return f, fmt.Errorf("list the host's addresses: %w", err)
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok {
			f.Addresses = append(f.Addresses, network.IP.String())
		}
	}
	return f, nil
}

// osName returns the name of the operating system, or "" if it does not say.
func (m *Machine) osName() string {
	text, err := os.ReadFile(m.path("/etc/os-release"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"'`)
		}
	}
	return ""
}

// firstPort returns the lowest port that users other than root may bind, at least 1. It returns 0 if the kernel does
// not say.
func (m *Machine) firstPort() int {
	text, err := os.ReadFile(m.path("/proc/sys/net/ipv4/ip_unprivileged_port_start"))
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return max(port, 1)
}
