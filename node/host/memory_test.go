package host

import (
	"bytes"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestFetchWantsMemory holds that a host on which a snapshot cannot be restored says so while nothing is stopped.
func TestFetchWantsMemory(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestLine(t, "a snapshot is bytes while it is on its way")
	_, _, content := aSnapshot(t)
	t.Run("memory", func(t *testing.T) {
		m, _ := newMachine(t)
		writeFile(t, m, "/proc/meminfo", "MemTotal:        60000 kB\nMemAvailable:    60000 kB\n")
		_, err := m.Fetch(t.Context(), "main", upload(content), bytes.NewReader(content))
		mustRefuse(t, err, "has 30 keys", "at least 65 MiB of memory", "this host has 58 MiB")
		mustHaveFetched(t, m)
	})
}

// TestRehearsalWantsMemory holds that no member is started beside the live one for which there is no memory.
func TestRehearsalWantsMemory(t *testing.T) {
	for name, test := range map[string]struct {
		meminfo string
		keys    int
		says    string // empty: it goes on
	}{
		"enough":                {"MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n", 1_000_000, ""},
		"more than its unit's":  {"MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n", 20_000_000, "a quarter of the host's"},
		"more than is left":     {"MemTotal: 8000000 kB\nMemAvailable: 200000 kB\n", 1_000_000, "are available beside the member"},
		"a kernel that is mute": {"MemTotal: 8000000 kB\n", 1, "holds no MemAvailable"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := newMachine(t)
			writeFile(t, m, "/proc/meminfo", test.meminfo)
			switch err := m.mustRehearseInMemory(test.keys); {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (err == nil || !bytes.Contains([]byte(err.Error()), []byte(test.says))):
				t.Errorf("it does not say %q: %v", test.says, err)
			}
		})
	}
}
