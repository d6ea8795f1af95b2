package backups

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// dataDir is where the member of a test's host has its data, and backupDir where it keeps its backups.
const (
	dataDir   = "/var/lib/etcd/main"
	backupDir = "/srv/backups"
)

// noUnits is a systemd that knows no unit, those that mount something included.
type noUnits struct{ Units }

func (noUnits) State(context.Context, string) (api.UnitState, error) {
	return api.UnitState{LoadState: "not-found", ActiveState: "inactive"}, nil
}

// newHost is a host that carries the cluster main, of which it keeps backups in a directory.
func newHost(t *testing.T) Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("gives files to other users: run as root")
	}
	root, err := filepath.EvalSymlinks(t.TempDir())
	mustNotFail(t, err)
	h := Host{Files: files.Tree{Root: root}, Units: noUnits{}, Now: time.Now, EtcdVersion: "3.7.3"}
	h.Records = records.Records{Files: h.Files, SystemUser: func() (files.Owner, error) { return files.RootUser, nil }}
	for _, dir := range []string{dataDir, backupDir, api.ConfigDir("main"), api.ConfigDir("next"), "/srv/own", "/srv/shared", "/data"} {
		mustNotFail(t, os.MkdirAll(h.Files.Path(dir), 0o755))
	}
	mustNotFail(t, h.Records.RewriteMarker(markerOf("main", dataDir)))
	return h
}

// markerOf is the marker of a cluster with its data in a directory.
func markerOf(cluster, dataDir string) api.Marker {
	return api.Marker{Cluster: cluster, Owner: "owner of " + cluster, Member: "a", DataDir: dataDir, ClientPort: 2379, PeerPort: 2380}
}

// backupOf is a backup to a directory of the host.
func backupOf() api.Backup {
	return api.Backup{Digest: "1", Schedule: "yearly", Directory: backupDir, Keep: api.Keep{Last: 2}}
}

// runOf is a run of a backup by these words.
func (h Host) runOf(t *testing.T, b api.Backup) *run {
	t.Helper()
	mustNotFail(t, h.Put(markerOf("main", dataDir), b))
	r, err := h.newRun("main", KindBackup, true, func(string) {})
	mustNotFail(t, err)
	return r
}

func mustNotFail(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mustRefuse fails the test unless an error is a refusal that says a text.
func mustRefuse(t *testing.T, err error, text string) {
	t.Helper()
	if coded, is := errors.AsType[*api.Error](err); !is || coded.Code != api.CodeRefused || !strings.Contains(err.Error(), text) {
		t.Errorf("no refusal that says %q: %v", text, err)
	}
}
