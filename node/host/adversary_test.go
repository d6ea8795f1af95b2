package host

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/arrivals"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
)

// outside returns a directory owned by root with files that nobody else may write to, own or remove, and what it holds.
func outside(t *testing.T, m *Machine) (dir string, is func() map[string]string) {
	t.Helper()
	const of = "/root/outside"
	for path, text := range map[string]string{
		"/precious": "of root's", "/member/wal/0.wal": "of another's", "/member/snap/db": "of another's", "/main.prom": "of another's",
		"/fetching": "", "/" + snapshots.Unfinished: "", "/sending-1": "", "/1-20260304T050607Z.db": "", "/rehearsal/x": "", "/main.aside-x/y": "",
		"/" + filepath.Base(backups.RecordFile(dataDir, backups.KindBackup)): "of another's",
	} {
		writeFile(t, m, of+path, text)
	}
	if err := os.Chmod(m.path(of), 0o711); err != nil {
		t.Fatal(err)
	}
	return m.path(of), func() map[string]string { return tree(t, m, of) }
}

// linkOfUser replaces a file by a link that the system user owns.
func linkOfUser(t *testing.T, path, target string) {
	t.Helper()
	if err := os.Rename(path, path+".was"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path), os.Lchown(path, etcdOwner.UID, etcdOwner.GID)); err != nil {
		t.Fatal(err)
	}
}

// acts are things that root does, by name.
type acts map[string]func() error

// asRoot returns everything that root does in directories that the system user may write to, by the part of them that
// it is in.
func asRoot(m *Machine, content []byte) map[string]acts {
	marker := api.Marker{Cluster: "main", Member: "a", DataDir: dataDir}
	kept, state := api.SnapshotDir(dataDir), api.BackupStateDir(dataDir)
	part, aside, next := arrivals.ArrivingFile(dataDir, sha256Of(content)), dataDir+".aside-restore-x", dataDir+".aside-restored-unfinished"
	purge := func() error { return m.dataDir(dataDir).Purge(nil) }
	restore := func() error { _, err := m.makeData(restoreAs(content), etcdOwner); return err }
	return map[string]acts{
		"data": {
			"make it":                func() error { return m.files().EnsureDir(dataDir, etcdOwner, files.DataMode) },
			"make a directory in it": func() error { return m.files().EnsureDir(dataDir+"/member/x", files.RootUser, files.DataMode) },
			"set aside":              func() error { _, err := m.dataDir(dataDir).SetAside("retired"); return err },
			"set aside in it": func() error {
				return m.dataDir(dataDir).SetContentsAside([]string{"member"}, dataDir+"/aside-restore-x")
			},
			"put back":                      func() error { return m.moveContents(aside, dataDir) },
			"sync what was set aside":       func() error { return m.dataDir(dataDir).SyncMoved() },
			"copy":                          func() error { _, err := m.dataDir(dataDir).CopyAside("copy"); return err },
			"purge":                         purge,
			"restore":                       restore,
			"place what was restored":       func() error { return m.placeData("main", next, &records.Restoration{DataDir: dataDir}) },
			"look":                          func() error { _, err := m.dataDir(dataDir).Data(); return err },
			"read the log":                  func() error { return errors.New(m.etcd(dataDir).Log(false).Error) },
			"have what is logged agreed on": func() error { return agreeWithin(m, 3*time.Second) },
		},
		"snapshots": {
			"make it": func() error { return m.files().EnsureDir(kept, files.RootUser, files.DataMode) },
			"fetch": func() error {
				return m.disks().WriteNew(filepath.Join(kept, arrivals.Fetching), 3, strings.NewReader("new"))
			},
			"go on with a fetch": func() error { return m.arrivals().Release(part) },
			"receive": func() error {
				_, err := m.arrivals().Arrive(&snapshots.Source{ReadCloser: io.NopCloser(strings.NewReader("new")), Size: 3}, 0, part)
				return err
			},
			"cut what has come":       func() error { return m.arrivals().CutTo(part, 0) },
			"remove what was fetched": func() error { return m.arrivals().RemoveFetched(dataDir, "", false) },
			"name what was fetched": func() error {
				return m.files().Rename(filepath.Join(kept, arrivals.Fetching), api.FetchedSnapshot(dataDir, "x"))
			},
			"let go of snapshots": func() error { return m.snapshots().KeepNewest(snapshotDir+"/none.db", nil, 1) },
			"take one to send":    func() error { _, err := m.files().Nameless(kept); return err },
			"purge":               purge,
			"restore":             restore,
		},
		"runs": {
			"make it":         func() error { return m.files().EnsureDir(state, files.RootUser, files.PublicDir) },
			"remember a run":  func() error { return m.Backups().PutRecord(marker, backups.KindBackup, backups.Record{}) },
			"set room aside":  func() error { _, err := m.disks().ReserveIn(state, 1); return err },
			"clean up":        func() error { return m.Backups().CleanUp("main") },
			"forget the runs": func() error { return m.Backups().RemoveState("main", dataDir) },
		},
		"metrics": {
			"write": func() error {
				_, err := m.files().Put(files.File{Path: "/var/lib/etcd/metrics/main.prom", Text: []byte("new"), Owner: files.RootUser, Mode: files.UnitFile})
				return err
			},
		},
	}
}

func restoreAs(content []byte) api.RestoreRequest {
	return api.RestoreRequest{
		Snapshot: sha256Of(content), PeerURL: "https://192.0.2.11:2380",
		Marker: api.Marker{Cluster: "main", Member: "a", DataDir: dataDir, Token: "t", InitialCluster: "a=https://192.0.2.11:2380"},
	}
}

// lives makes a host with a member's data, whose directories are all the system user's, the one around them too: a
// distribution's own package gives it to him.
func lives(t *testing.T, content []byte) *Machine {
	t.Helper()
	m, _ := newMachine(t)
	m.Users = userIs{etcdOwner}
	for path, text := range map[string]string{
		"/member/wal/0.wal": "log", "/member/snap/db": "database", ".aside-restore-x/member/wal/0.wal": "old", ".aside-restored-unfinished/member/x": "restored",
		".snapshots/1-20260304T050607Z.db": "", ".snapshots/" + arrivals.Fetching: "", ".snapshots/restore-" + sha256Of(content) + ".db": string(content),
		".backup/rehearsal/x": "", "/../metrics/main.prom": "old",
	} {
		writeFile(t, m, dataDir+path, text)
	}
	if err := giveTree(m.path("/var/lib/etcd"), etcdOwner); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestRootFollowsNoLinkOfTheSystemUser: whatever of his directories, or of what lies in them, the system user exchanges
// for a link between two calls of root's, nothing that the link leads to is written to, given away, moved or removed.
func TestRootFollowsNoLinkOfTheSystemUser(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "what root does by paths it does alike with each")
	_, _, content := aSnapshot(t)
	part, record := filepath.Base(arrivals.ArrivingFile(dataDir, sha256Of(content))), filepath.Base(backups.RecordFile(dataDir, backups.KindBackup))
	for _, test := range []struct{ in, place, leads string }{
		{in: "data", place: ""}, {in: "data", place: ".aside-restore-x"}, {in: "data", place: ".aside-restored-unfinished"},
		{in: "data", place: ".aside-copy-unfinished"}, {in: "data", place: ".aside-retired-x"}, {in: "data", place: "/aside-restore-x"},
		{"data", "/member", "/member"}, {"data", "/member/wal", "/member/wal"}, {"data", "/member/x", ""}, {"data", "/member/snap/db", "/precious"},
		{in: "snapshots", place: ".snapshots"}, {"snapshots", ".snapshots/" + part, "/precious"}, {"snapshots", ".snapshots/" + arrivals.Fetching, "/precious"},
		{"snapshots", ".snapshots/restore-" + sha256Of(content) + ".db", "/precious"}, {"snapshots", ".snapshots/1-20260304T050607Z.db", "/precious"},
		{in: "runs", place: ".backup"}, {"runs", ".backup/rehearsal", "/rehearsal"}, {"runs", ".backup/" + record, "/precious"},
		{in: "metrics", place: "/../metrics"}, {"metrics", "/../metrics/main.prom", "/precious"}, {"metrics", "/../metrics/.main.prom.new", "/precious"},
	} {
		t.Run(test.place, func(t *testing.T) {
			for what := range asRoot(&Machine{}, content)[test.in] {
				m := lives(t, content)
				elsewhere, is := outside(t, m)
				before := is()
				linkOfUser(t, m.path(dataDir+test.place), filepath.Join(elsewhere, test.leads))
				err := asRoot(m, content)[test.in][what]()
				if diff := cmp.Diff(before, is()); diff != "" {
					t.Errorf("%s: to %s by a link at %s%s, %v:\n%s", test.in, what, dataDir, test.place, err, diff)
				}
			}
		})
	}
}

// TestRootWritesToNoFileThatTheSystemUserHasLinked: a file of root's may get another name, where the kernel lets users
// link what is not theirs.
func TestRootWritesToNoFileThatTheSystemUserHasLinked(t *testing.T) {
	sample.LeaveToNewestMinor(t, "what root does by paths it does alike with each")
	_, _, content := aSnapshot(t)
	for in, place := range map[string]string{"snapshots": arrivals.ArrivingFile(dataDir, sha256Of(content)), "runs": backups.RecordFile(dataDir, backups.KindBackup), "metrics": "/var/lib/etcd/metrics/main.prom"} {
		for what := range asRoot(&Machine{}, content)[in] {
			m := lives(t, content)
			elsewhere, is := outside(t, m)
			precious := filepath.Join(elsewhere, "precious")
			// That the file already says what is to be written must not give it away to others.
			if err := errors.Join(os.WriteFile(precious, []byte("new"), 0o600), os.Chmod(precious, 0o600)); err != nil {
				t.Fatal(err)
			}
			before := is()
			_ = os.Remove(m.path(place)) // it may not be there
			if err := os.Link(precious, m.path(place)); err != nil {
				t.Fatal(err)
			}
			err := asRoot(m, content)[in][what]()
			if diff := cmp.Diff(before, is()); diff != "" {
				t.Errorf("%s: to %s with another name for it at %s, %v:\n%s", in, what, place, err, diff)
			}
		}
	}
}

// exchangeAsUser exchanges two names, if the directory that holds the second is one that the system user may write to:
// root makes others, for a while, in which nobody else exchanges anything.
func exchangeAsUser(trap, place string) bool {
	around, err := unix.Open(filepath.Dir(place), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(around)
	var is unix.Stat_t
	if unix.Fstat(around, &is) != nil || is.Uid == 0 && is.Mode&0o022 == 0 {
		return false
	}
	return unix.Renameat2(unix.AT_FDCWD, trap, around, filepath.Base(place), unix.RENAME_EXCHANGE) == nil
}

// TestRootFollowsNoLinkThatComesMeanwhile: the system user exchanges a directory for a link, and back, all the time.
func TestRootFollowsNoLinkThatComesMeanwhile(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "what root does by paths it does alike with each")
	_, _, content := aSnapshot(t)
	for _, place := range []string{dataDir, dataDir + "/member", dataDir + ".snapshots", dataDir + ".backup", dataDir + ".aside-restored-unfinished", dataDir + ".aside-copy-unfinished"} {
		t.Run(filepath.Base(place), func(t *testing.T) {
			m := lives(t, content)
			elsewhere, is := outside(t, m)
			before := is()
			trap := m.path("/var/lib/etcd/trap")
			linkOfUser(t, trap, elsewhere)
			over := make(chan struct{})
			ended := make(chan int)
			go func() {
				exchanged := 0
				for {
					select {
					case <-over:
						ended <- exchanged
						return
					default:
					}
					if exchangeAsUser(trap, m.path(place)) {
						exchanged++
					}
				}
			}()
			all := asRoot(m, content)
			delete(all["data"], "have what is logged agreed on") // which takes its time
			until := time.Now().Add(time.Second)
			for round := 0; round < 2 || time.Now().Before(until); round++ {
				for _, acts := range all {
					for _, act := range acts {
						_ = act() // what becomes of it is the adversary's to say
						if _, err := os.Lstat(m.path(place)); err != nil {
							_ = os.Mkdir(m.path(place), 0o755)
						}
					}
				}
			}
			close(over)
			if exchanged := <-ended; exchanged < 100 {
				t.Errorf("it was exchanged %d times alone", exchanged)
			}
			if diff := cmp.Diff(before, is()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
