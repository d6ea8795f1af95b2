package records

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// newRecords is a host with the directories of these clusters.
func newRecords(t *testing.T, clusters ...string) Records {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("gives files to other users: run as root")
	}
	r := Records{files.Tree{Root: t.TempDir()}, func() (files.Owner, error) { return files.Owner{UID: 64123, GID: 64124}, nil }}
	for _, cluster := range clusters {
		if err := os.MkdirAll(r.Files.Path(api.ConfigDir(cluster)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func write(t *testing.T, r Records, path, text string) {
	t.Helper()
	if err := os.WriteFile(r.Files.Path(path), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func markerOf(cluster string) api.Marker {
	return api.Marker{Cluster: cluster, Owner: "owner of " + cluster, Member: "a", DataDir: "/var/lib/etcd/" + cluster}
}

// TestWhatIsRecordedIsRead holds that what was written down is read as it was, and is the group's of the system user,
// for the guard; and that a host of which nothing is written down has nothing.
func TestWhatIsRecordedIsRead(t *testing.T) {
	r := newRecords(t, "main")
	if marker, err := r.Marker("main"); marker != nil || err != nil {
		t.Errorf("no marker reads %+v, %v", marker, err)
	}
	if under, err := r.Restoration("main"); under != nil || err != nil {
		t.Errorf("no restore reads %+v, %v", under, err)
	}
	if under, err := r.Recovery("main"); under != nil || err != nil {
		t.Errorf("no recovery reads %+v, %v", under, err)
	}
	if progress, err := r.Progress("main"); progress != (Progress{}) || err != nil {
		t.Errorf("no progress reads %+v, %v", progress, err)
	}
	marker, progress := markerOf("main"), Progress{"1a", "2b", 3}
	recovery := Recovery{ClusterID: "1a", Copy: "/copy", Term: 2, Index: 3, Agreed: true}
	under := &Restoration{Restoration: api.Restoration{Stage: api.StageFenced, Source: "x"}, Owner: "o", DataDir: "/d", Progress: progress}
	if err := errors.Join(r.RewriteMarker(marker), r.PutRestoration("main", under), r.PutProgress("main", progress), r.PutRecovery("main", recovery)); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Marker("main"); err != nil || !cmp.Equal(got, &marker) {
		t.Errorf("the marker reads %+v, %v", got, err)
	}
	if got, err := r.Restoration("main"); err != nil || !cmp.Equal(got, under) {
		t.Errorf("the restore reads %+v, %v", got, err)
	}
	if got, err := r.Progress("main"); err != nil || got != progress {
		t.Errorf("the progress reads %+v, %v", got, err)
	}
	if got, err := r.Recovery("main"); err != nil || *got != recovery {
		t.Errorf("the recovery reads %+v, %v", got, err)
	}
	for _, path := range []string{api.MarkerFile("main"), api.RestoreFile("main"), api.RecoveryFile("main"), api.ProgressFile("main")} {
		info, err := os.Stat(r.Files.Path(path))
		if err != nil || files.OwnerOf(info) != (files.Owner{GID: 64124}) || info.Mode().Perm() != files.ConfigFile {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	for range 2 { // the second finds nothing to do
		if err := r.EndRecovery("main"); err != nil {
			t.Error(err)
		}
	}
	if under, err := r.Recovery("main"); under != nil || err != nil {
		t.Errorf("the recovery that has ended reads %+v, %v", under, err)
	}
}

// TestWhatCannotBeReadIsNotAbsent: what is not known stops.
func TestWhatCannotBeReadIsNotAbsent(t *testing.T) {
	r := newRecords(t, "main", "next")
	for _, text := range []string{"", "{", "{}", `{"cluster":"next","data_dir":"/data"}`, `{"cluster":"main","data_dir":"/"}`} {
		write(t, r, api.MarkerFile("main"), text)
		if _, err := r.Marker("main"); err == nil || !strings.Contains(err.Error(), api.MarkerFile("main")) {
			t.Errorf("marker %q: %v", text, err)
		}
		if _, err := r.Neighbours("next"); err == nil {
			t.Errorf("beside marker %q: no error", text)
		}
	}
	for _, text := range []string{"", "{", "{}"} {
		write(t, r, api.RestoreFile("main"), text)
		if _, err := r.Restoration("main"); err == nil || !strings.Contains(err.Error(), api.RestoreFile("main")) {
			t.Errorf("restore %q: %v", text, err)
		}
	}
	write(t, r, api.RecoveryFile("main"), "{")
	if _, err := r.Recovery("main"); err == nil || !strings.Contains(err.Error(), api.RecoveryFile("main")) {
		t.Errorf("recovery: %v", err)
	}
	write(t, r, api.ProgressFile("main"), "{")
	if _, err := r.Progress("main"); err == nil || !strings.Contains(err.Error(), api.ProgressFile("main")) {
		t.Errorf("progress: %v", err)
	}
}

func TestWhoseHostItIs(t *testing.T) {
	r := newRecords(t, "main", "next", "empty", "Not-A-Name")
	for _, cluster := range []string{"main", "next"} {
		if err := r.PutMarker(markerOf(cluster), files.RootUser); err != nil {
			t.Fatal(err)
		}
	}
	if marker, err := r.Owned("main", "owner of main"); err != nil || marker.Cluster != "main" {
		t.Errorf("its owner: %+v, %v", marker, err)
	}
	for cluster, says := range map[string]string{"main": "another Terraform object", "empty": api.MarkerFile("empty")} {
		_, err := r.Owned(cluster, "somebody")
		if coded, is := errors.AsType[*api.Error](err); !is || coded.Code != api.CodeRefused || !strings.Contains(err.Error(), says) {
			t.Errorf("%s, another owner: %v", cluster, err)
		}
	}
	for cluster, wants := range map[string][]string{"main": {"next"}, "next": {"main"}, "": {"main", "next"}} {
		found, err := r.Neighbours(cluster)
		var names []string
		for _, marker := range found {
			names = append(names, marker.Cluster)
		}
		if err != nil || !cmp.Equal(names, wants) {
			t.Errorf("beside %q: %q, %v", cluster, names, err)
		}
	}
	if err := os.RemoveAll(r.Files.Path(filepath.Dir(api.ConfigDir("main")))); err != nil {
		t.Fatal(err)
	}
	if found, err := r.Neighbours(""); len(found) > 0 || err != nil {
		t.Errorf("a bare host: %v, %v", found, err)
	}
}

// TestARestoresOwnRunCompares holds that members compare themselves again some time after a restore was opened,
// whatever the clock of the host does.
func TestARestoresOwnRunCompares(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		under Restoration
		wants bool
	}{
		"under way":                 {Restoration{Restoration: api.Restoration{Stage: api.StageRestored}}, true},
		"opened this moment":        {Restoration{Restoration: api.Restoration{Stage: api.StageOpened}, Opened: now}, true},
		"opened before":             {Restoration{Restoration: api.Restoration{Stage: api.StageOpened}, Opened: now.Add(-opening)}, false},
		"opened in the future":      {Restoration{Restoration: api.Restoration{Stage: api.StageOpened}, Opened: now.Add(time.Second)}, false},
		"opened, nobody knows when": {Restoration{Restoration: api.Restoration{Stage: api.StageOpened}}, false},
	} {
		if got := test.under.Compares(now); got != test.wants {
			t.Errorf("%s: %t", name, got)
		}
	}
}
