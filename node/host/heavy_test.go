package host

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// TestHeavyCallsYield holds that calls that read all data yield to the members, as runs of timers do, and no others:
// what a cluster waits for does not.
func TestHeavyCallsYield(t *testing.T) {
	t.Parallel()
	for operation := range operations {
		m, _ := newMachine(t)
		yields := 0
		m.Yields = func(_ context.Context, cluster string) {
			yields++
			if cluster != "main" {
				t.Errorf("%s yields for %q", operation, cluster)
			}
		}
		_, err := m.carryOut(t.Context(), call{Request: api.Request{Version: api.Version, Operation: operation, Cluster: "main"}})
		if err == nil {
			t.Errorf("%s is carried out without a request", operation)
		}
		want := 0
		switch operation {
		case api.OpSnapshot, api.OpSave, api.OpFetch, api.OpSendBackup:
			want = 1
		}
		if yields != want {
			t.Errorf("%s yields %d times, and not %d", operation, yields, want)
		}
	}
	runs, err := systemd.RenderRuns(systemd.RunOptions{Cluster: "main", Store: "/usr/local/lib/etcd-store/main/store", Schedule: "daily", StateDir: "/var/lib/etcd/main.backup", MemoryBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	for _, has := range []string{"Slice=system.slice\n", "Nice=10\n", fmt.Sprintf("CPUWeight=%d\n", units.Weight), fmt.Sprintf("IOWeight=%d\n", units.Weight)} {
		if !strings.Contains(runs["etcd-backup@main.service"], has) {
			t.Errorf("a backup's unit does not have %s", has)
		}
	}
}
