package snapshots

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

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
			h := Host{Files: files.Tree{Root: t.TempDir()}}
			if err := errors.Join(os.Mkdir(h.Files.Path("/proc"), 0o755), os.WriteFile(h.Files.Path("/proc/meminfo"), []byte(test.meminfo), 0o644)); err != nil {
				t.Fatal(err)
			}
			switch err := h.MustRehearseInMemory(test.keys); {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (err == nil || !bytes.Contains([]byte(err.Error()), []byte(test.says))):
				t.Errorf("it does not say %q: %v", test.says, err)
			}
		})
	}
}
