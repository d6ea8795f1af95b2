package host

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/arrivals"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// TestRehearsalProvesABackup holds that a good one passes, with what it has come to, and leaves nothing behind.
func TestRehearsalProvesABackup(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	backedUp(t, backupOf(), f)
	f.put(t, 30)
	f.client(t, func(c *clientv3.Client) { // of what a backup has to bring back besides
		lease, err := c.Grant(t.Context(), 60)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Put(t.Context(), "leased", "x", clientv3.WithLease(lease.ID)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Compact(t.Context(), 20, clientv3.WithCompactPhysical()); err != nil {
			t.Fatal(err)
		}
	})
	if err := f.run(t, backups.KindRehearsal, true); err == nil || !strings.Contains(err.Error(), "no backup") {
		t.Errorf("without a backup: %v", err)
	}
	made := f.mustRun(t, backups.KindBackup)
	f.put(t, 5)
	live := f.probe(t).Revision
	done := f.mustRun(t, backups.KindRehearsal)
	if done.Error != "" || done.Backup != made.Backup || done.Revision != made.Revision || done.BehindRevisions < live-made.Revision || done.ChecksumsOnly {
		t.Errorf("it is %+v, of %+v", done, made)
	}
	if found := f.backups(t).Backups[0]; found.VerifiedAt.IsZero() {
		t.Errorf("it is not verified: %+v", found)
	}
	text, err := os.ReadFile(f.path(backups.MetricsFile(api.BackupStateDir(dataDir), backups.KindRehearsal, "main")))
	if err != nil || !strings.Contains(string(text), "etcd_rehearsal_last_run_success{cluster=\"main\"} 1\n") || !strings.Contains(string(text), "\netcd_rehearsal_behind_revisions{") {
		t.Errorf("the metrics are %s, %v", text, err)
	}
	mustBeCleanUp(t, f)
	if v := f.probe(t); !v.Healthy {
		t.Errorf("the live member is %+v", v)
	}
}

// editManifest changes the manifest of a backup in a directory.
func (f *fleetMember) editManifest(t *testing.T, name string, edit func(*backup.Manifest)) {
	t.Helper()
	path := f.path(backupDir + "/main/" + name + ".json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m backup.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	edit(&m)
	if text, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRehearsalFindsWhatIsWrong holds that a backup which is not what its manifest says does not pass, and that it is
// written down beside it.
func TestRehearsalFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	backedUp(t, backupOf(), f)
	f.put(t, 30)
	edited := func(edit func(*backup.Manifest)) func(string) {
		return func(name string) { f.editManifest(t, name, edit) }
	}
	for name, test := range map[string]struct {
		spoil    func(name string)
		says     string
		recorded bool
	}{
		"a flipped bit": {func(name string) { flip(t, f.path(backupDir+"/main/"+name+".db")) }, "damaged", true},
		"pages in a circle": {func(name string) {
			path := f.path(backupDir + "/main/" + name + ".db")
			change(t, path, circle)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f.editManifest(t, name, func(m *backup.Manifest) { m.SHA256, m.StoredSHA256 = sha256Of(text), sha256Of(text) })
		}, "two pages lead to page", true},
		"fewer keys":            {edited(func(m *backup.Manifest) { m.Keys++ }), "keys", true},
		"another revision":      {edited(func(m *backup.Manifest) { m.Revision++ }), "revision", true},
		"another hash":          {edited(func(m *backup.Manifest) { m.Hash++ }), "hash", true},
		"another compaction":    {edited(func(m *backup.Manifest) { m.CompactRevision = 3 }), "compacted", true},
		"a newer minor version": {edited(func(m *backup.Manifest) { m.StorageVersion = "9.9" }), "9.9", false},
		"cut off":               {func(name string) { cutOff(t, f.path(backupDir+"/main/"+name+".db")) }, "bytes long", false},
		"no manifest":           {func(name string) { writeFile(t, f.Machine, backupDir+"/main/"+name+".json", "{") }, "manifest", false},
	} {
		t.Run(name, func(t *testing.T) {
			made := f.mustRun(t, backups.KindBackup)
			test.spoil(made.Backup)
			if err := f.run(t, backups.KindRehearsal, true); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("it says %v", err)
			}
			if last := f.last(t, backups.KindRehearsal); last.Error == "" {
				t.Errorf("the host remembers %+v", last)
			}
			_, err := os.Stat(f.path(backupDir + "/main/" + made.Backup + ".rehearsal"))
			if (err == nil) != test.recorded {
				t.Errorf("what is written down beside it: %v", err)
			}
			for _, found := range f.backups(t).Backups {
				if found.Name == made.Backup && !found.VerifiedAt.IsZero() {
					t.Errorf("it counts as verified: %+v", found)
				}
			}
			mustBeCleanUp(t, f)
			if err := os.RemoveAll(f.path(backupDir + "/main")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func cutOff(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
}

// TestRehearsalOfAnEncryptedBackup holds what can be proved with, without, and with the wrong identity.
func TestRehearsalOfAnEncryptedBackup(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "TestRehearsalProvesABackup and TestRehearsalFindsWhatIsWrong rehearse with every minor version")
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.put(t, 30)
	key, other := identityOf(t), identityOf(t)
	with := func(digest, identity string) {
		b := backupOf()
		b.Digest, b.Recipients, b.Rehearsal.Identity = digest, []string{key.Recipient().String()}, secret.New(identity)
		backedUp(t, b, f)
	}
	with("1", "")
	made := f.mustRun(t, backups.KindBackup)
	path := f.path(backupDir + "/main/" + made.Backup + ".db.age")
	if text, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(text), string(arrivals.EncryptedHeader)) {
		t.Fatalf("it is not encrypted: %v", err)
	}
	if done := f.mustRun(t, backups.KindRehearsal); !done.ChecksumsOnly || !f.backups(t).Backups[0].VerifiedAt.IsZero() {
		t.Errorf("without an identity: %+v", done)
	}
	with("2", other.String())
	if err := f.run(t, backups.KindRehearsal, true); err == nil || !strings.Contains(err.Error(), "identit") || strings.Contains(err.Error(), other.String()) {
		t.Errorf("with another's identity: %v", err)
	}
	if _, err := os.Stat(f.path(backupDir + "/main/" + made.Backup + ".rehearsal")); err == nil {
		t.Error("that was held against the backup")
	}
	with("3", key.String())
	if done := f.mustRun(t, backups.KindRehearsal); done.ChecksumsOnly || f.backups(t).Backups[0].VerifiedAt.IsZero() {
		t.Errorf("with its identity: %+v", done)
	}
	with("4", "")
	flip(t, path)
	if err := f.run(t, backups.KindRehearsal, true); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a flipped bit, without an identity: %v", err)
	}
	for name := range tree(t, f.Machine, api.BackupStateDir(dataDir)) {
		if text, _ := os.ReadFile(f.path(name)); strings.Contains(string(text), "AGE-SECRET") {
			t.Errorf("%s holds an identity", name)
		}
	}
}

// TestKilledRehearsal holds that the member of a rehearsal that was killed ends with it, and that what it has restored
// is removed.
func TestKilledRehearsal(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "TestRehearsalProvesABackup and TestRehearsalFindsWhatIsWrong rehearse with every minor version")
	f := fleetOf(t, newAuthority(t), "a")[0]
	backedUp(t, backupOf(), f)
	f.put(t, 30)
	f.mustRun(t, backups.KindBackup)
	var killed *exec.Cmd
	var ended chan struct{}
	begin := func() {
		killed, ended = f.child(t, backups.KindRehearsal), make(chan struct{})
		go func(c *exec.Cmd, ended chan struct{}) { _ = c.Wait(); close(ended) }(killed, ended)
	}
	begin()
	eventually(t, "the rehearsed member runs", func() bool {
		select {
		case <-ended:
			begin() // on a busy machine a run may be over before this test looks
		default:
		}
		pid := processIn(t, f.path(backups.RehearsalDir(dataDir)))
		// It stands still, so that the run is not over before it is killed.
		return pid != 0 && syscall.Kill(pid, syscall.SIGSTOP) == nil
	})
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	eventually(t, "the rehearsed member has ended", func() bool { return processIn(t, f.path(backups.RehearsalDir(dataDir))) == 0 })
	if _, err := os.Stat(f.path(backups.RehearsalDir(dataDir))); err != nil {
		t.Fatalf("it was killed too late: %v", err)
	}
	if err := f.Backups().CleanUp("main"); err != nil {
		t.Fatal(err)
	}
	mustBeCleanUp(t, f)
	f.mustRun(t, backups.KindRehearsal) // once the lease of the other has ended
}

// TestRehearsedMemberThatStandsStill: a rehearsed member is waited for as long as it comes further, and no longer. That
// says nothing of the backup.
func TestRehearsedMemberThatStandsStill(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "TestRehearsalProvesABackup and TestRehearsalFindsWhatIsWrong rehearse with every minor version")
	f := fleetOf(t, newAuthority(t), "a")[0]
	backedUp(t, backupOf(), f)
	f.put(t, 30)
	made := f.mustRun(t, backups.KindBackup)
	f.Stalls = 5 * time.Second
	rehearsed := f.path(backups.RehearsalDir(dataDir))
	ended := make(chan error, 1)
	go func() { ended <- f.run(t, backups.KindRehearsal, true) }()
	eventually(t, "the rehearsed member stands still", func() bool {
		pid := processIn(t, rehearsed)
		runs, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it is etcd a moment after it was begun
		return strings.HasPrefix(string(runs), "etcd\x00") && syscall.Kill(pid, syscall.SIGSTOP) == nil
	})
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "member rehearsal has come no further for 5s") {
			t.Errorf("it says %v", err)
		}
	case <-time.After(patience):
		t.Fatal("it is waited for")
	}
	if pid := processIn(t, rehearsed); pid != 0 {
		t.Errorf("process %d is left", pid)
	}
	if _, err := os.Stat(f.path(backupDir + "/main/" + made.Backup + ".rehearsal")); err == nil {
		t.Error("that was held against the backup")
	}
}

// processIn returns the process that works in a directory, or 0.
func processIn(t *testing.T, dir string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if works, _ := os.Readlink(path); works == dir { // it may have ended
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	return 0
}

// TestFetchOfABackup holds that a restore fetches a backup by its name, wherever this host knows it to be.
func TestFetchOfABackup(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	key := identityOf(t)
	b := backupOf()
	b.Recipients = []string{key.Recipient().String()}
	backedUp(t, b, f)
	f.put(t, 30)
	made := f.mustRun(t, backups.KindBackup)
	r := api.FetchRequest{Owner: fleetOwner, DataDir: dataDir, Source: api.Source{Backup: made.Backup}, MinorVersion: api.Minor(f.EtcdVersion), Identity: secret.New(key.String())}
	fetch := func() (api.Snapshot, error) { return f.arrivals().Fetch(t.Context(), "main", r, strings.NewReader("")) }
	got, err := fetch()
	if err != nil {
		t.Fatal(err)
	}
	if known := f.backups(t).Backups[0]; got.SHA256 != known.SHA256 || got.Revision != made.Revision || got.Keys != known.Keys || !got.TakenAt.Equal(known.TakenAt) {
		t.Errorf("fetched is %+v, of %+v", got, known)
	}
	if err := f.arrivals().RemoveFetched(dataDir, "", false); err != nil {
		t.Fatal(err)
	}
	r.Source.Backup = api.LatestBackup
	if latest, err := fetch(); err != nil || latest.SHA256 != got.SHA256 {
		t.Errorf("the latest is %+v, %v", latest, err)
	}
	if err := f.arrivals().RemoveFetched(dataDir, "", false); err != nil {
		t.Fatal(err)
	}
	r.Source.Backup = made.Backup + "x"
	_, err = fetch()
	mustRefuse(t, err, "no backup")
	r.Source.Backup = made.Backup
	stored := f.path(backupDir + "/main/" + made.Backup + ".db.age")
	want, err := os.ReadFile(stored)
	if err != nil {
		t.Fatal(err)
	}
	sendFrom := func(name string, from int64) (string, error) {
		var sent strings.Builder
		err := f.Backups().Send(t.Context(), "main", api.SendBackupRequest{Name: name, From: from}, &sent)
		return sent.String(), err
	}
	send := func(name string) (string, error) { return sendFrom(name, 0) }
	for _, from := range []int64{0, 1, int64(len(want)) / 2, int64(len(want))} {
		if sent, err := sendFrom(made.Backup, from); err != nil || sent != string(want[from:]) {
			t.Errorf("from byte %d on, sent are %d bytes of %d, %v", from, len(sent), len(want), err)
		}
	}
	for _, from := range []int64{-1, int64(len(want)) + 1} {
		_, err = sendFrom(made.Backup, from)
		mustRefuse(t, err, "cannot be sent from byte")
	}
	_, err = send(made.Backup + "x")
	mustRefuse(t, err, "no backup")
	flip(t, stored)
	if _, err = fetch(); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a flipped bit: %v", err)
	}
	for _, from := range []int64{0, int64(len(want)) - 1} { // behind the bit, too
		if _, err = sendFrom(made.Backup, from); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("a flipped bit, from byte %d on: %v", from, err)
		}
	}
	r.Source.Path = "/x"
	_, err = fetch()
	mustRefuse(t, err, "one place")
}
