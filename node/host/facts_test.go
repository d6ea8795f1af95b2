package host

import (
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFactsOfThisMachine(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := &Machine{Root: "/", Now: func() time.Time { return now }}
	f, err := m.facts()
	if err != nil {
		t.Fatal(err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if f.Hostname != hostname || f.Architecture != runtime.GOARCH || !f.Time.Equal(now) {
		t.Errorf("they are %+v", f)
	}
	if f.MemoryBytes < 64<<20 || len(f.BootID) != 36 || f.Kernel == "" || strings.ContainsAny(f.Kernel+f.MachineID, "\n ") {
		t.Errorf("they are %+v", f)
	}
	if !slices.Contains(f.Addresses, "127.0.0.1") {
		t.Errorf("the addresses are %q", f.Addresses)
	}
	for _, address := range f.Addresses {
		if _, err := netip.ParseAddr(address); err != nil {
			t.Error(err)
		}
	}
}

// describe writes the files that facts are read from.
func describe(t *testing.T, m *Machine) {
	t.Helper()
	for path, text := range map[string]string{
		"/proc/sys/kernel/hostname":                     "etcd-1\n",
		"/proc/sys/kernel/osrelease":                    "6.1.0-28-amd64\n",
		"/proc/sys/kernel/random/boot_id":               "6f0f2c2e-0a38-4a3c-8c51-6e4f3f3f0d6b\n",
		"/etc/machine-id":                               "0123456789abcdef0123456789abcdef\n",
		"/etc/os-release":                               "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
		"/proc/sys/net/ipv4/ip_unprivileged_port_start": "0\n",
		"/proc/meminfo":                                 "MemTotal:        8137000 kB\nMemFree:          100000 kB\nMemAvailable:    4000000 kB\n",
	} {
		writeFile(t, m, path, text)
	}
}

func TestFactsAreReadFromTheirFiles(t *testing.T) {
	m := &Machine{Root: t.TempDir(), Now: time.Now}
	describe(t, m)
	f, err := m.facts()
	if err != nil {
		t.Fatal(err)
	}
	if f.Hostname != "etcd-1" || f.Kernel != "6.1.0-28-amd64" || f.MachineID != "0123456789abcdef0123456789abcdef" ||
		f.OS != "Debian GNU/Linux 12 (bookworm)" || f.MemoryBytes != 8137000<<10 || f.FirstPort != 1 {
		t.Errorf("they are %+v", f)
	}
	if err := os.Remove(m.path("/etc/machine-id")); err != nil {
		t.Fatal(err)
	}
	if f, err := m.facts(); err == nil {
		t.Errorf("a host without a machine ID reads %+v", f)
	}
}
