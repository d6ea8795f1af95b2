package host

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// TestAHostThatHasLostItsUser: nothing is written for a user that is not there, since it would be root's alone.
func TestAHostThatHasLostItsUser(t *testing.T) {
	m, _ := newMachine(t)
	marker := api.Marker{Cluster: "main", Member: "a", DataDir: dataDir}
	under := &records.Restoration{Restoration: api.Restoration{Stage: api.StageFenced, Marker: &marker, Flags: []string{"--name=a"}, Aside: dataDir + ".aside-restore-x"}}
	writeFile(t, m, api.FlagsFile("main"), "--name=a\n")
	writeFile(t, m, etcdfs.LogDir(dataDir)+"/0.wal", "")
	writeFile(t, m, under.Aside+"/member/x", "")
	before := tree(t, m, "/")
	for what, write := range map[string]func() error{
		"a marker":             func() error { return m.records().RewriteMarker(marker) },
		"a restore":            func() error { return m.records().PutRestoration("main", under) },
		"a recovery":           func() error { return m.records().PutRecovery(marker.Cluster, records.Recovery{}) },
		"flags that force":     func() error { return m.putForced(marker, true) },
		"what was rolled back": func() error { return m.restoreOldConfiguration(t.Context(), "main", under) },
		"the old data": func() error {
			return m.restoreOldData("main", &records.Restoration{DataDir: dataDir, Restoration: under.Restoration})
		},
		"a log":               func() error { return m.agree().Log(dataDir) },
		"how far it has come": func() error { return m.records().PutProgress("main", records.Progress{Index: 1}) },
	} {
		err := write()
		if err == nil || !strings.Contains(err.Error(), "no user etcd") || !strings.Contains(err.Error(), "useradd") {
			t.Errorf("to write %s says %v", what, err)
		}
		if diff := cmp.Diff(before, tree(t, m, "/")); diff != "" {
			t.Errorf("to write %s: %s", what, diff)
		}
	}
}
