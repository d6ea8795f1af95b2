package host

import (
	"bytes"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestFetchWantsMemory holds that a host on which a snapshot cannot be restored says so while nothing is stopped.
func TestFetchWantsMemory(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "a snapshot is bytes while it is on its way")
	_, _, content := aSnapshot(t)
	t.Run("memory", func(t *testing.T) {
		m, _ := newMachine(t)
		writeFile(t, m, "/proc/meminfo", "MemTotal:        60000 kB\nMemAvailable:    60000 kB\n")
		_, err := m.arrivals().Fetch(t.Context(), "main", upload(content), bytes.NewReader(content))
		mustRefuse(t, err, "has 30 keys", "at least 65 MiB of memory", "this host has 58 MiB")
		mustHaveFetched(t, m)
	})
}
