package host

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup/s3test"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// asRun makes this test binary the run of a machine, for runs that tests kill: its kind, and the machine's root.
const asRun = "HOST_TEST_AS_RUN"

// runAsChild does what asRun says.
func runAsChild(what string) error {
	kind, root, _ := strings.Cut(what, " ")
	m := &Machine{Root: root, EtcdVersion: "3.7.3", Binary: os.Args[0], Units: &fakeUnits{}, Users: &fakeUsers{made: true}, Run: units.Exec, Now: time.Now}
	quiet := func(string) {}
	if kind == runFetch {
		return m.fetchAsChild()
	}
	if kind == backups.KindRehearsal {
		return m.Backups().RunRehearsal(context.Background(), "main", true, quiet)
	}
	return m.Backups().RunBackup(context.Background(), "main", true, quiet)
}

// child is a run in a process of its own.
func (f *fleetMember) child(t *testing.T, kind string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), asRun+"="+kind+" "+f.Root)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

const backupDir = "/srv/backups"

// backupOf returns a backup to a directory of the host.
func backupOf() api.Backup {
	return api.Backup{Digest: "1", Schedule: "yearly", Directory: backupDir, Keep: api.Keep{Last: 2}, Rehearsal: &api.Rehearsal{Schedule: "yearly"}}
}

// backedUp has all members back up, and rehearse by this test's own binary.
func backedUp(t *testing.T, b api.Backup, members ...*fleetMember) {
	t.Helper()
	for _, f := range members {
		f.Run, f.Binary = units.Exec, os.Args[0]
		if err := f.Backups().BackUp(t.Context(), "main", api.BackUpRequest{Owner: fleetOwner, Backup: &b}); err != nil {
			t.Fatal(err)
		}
	}
}

// share has members keep their backups in one directory, as a network file system has them do.
func share(t *testing.T, members []*fleetMember) {
	t.Helper()
	for _, f := range members[1:] {
		if err := os.Remove(f.path(backupDir)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(members[0].path(backupDir), f.path(backupDir)); err != nil {
			t.Fatal(err)
		}
	}
}

// run does a run of a backup or of a rehearsal.
func (f *fleetMember) run(t *testing.T, kind string, now bool) error {
	t.Helper()
	say := func(text string) { t.Logf("%s: %s", f.marker.Member, text) }
	if kind == backups.KindRehearsal {
		return f.Backups().RehearseAfter(t.Context(), "main", now, time.Millisecond, say)
	}
	return f.Backups().RunBackup(t.Context(), "main", now, say)
}

// mustRun does one that is to succeed, and returns what its host remembers of it.
func (f *fleetMember) mustRun(t *testing.T, kind string) api.Run {
	t.Helper()
	if err := f.run(t, kind, true); err != nil {
		t.Fatal(err)
	}
	return f.last(t, kind)
}

// last returns the last run of a host.
func (f *fleetMember) last(t *testing.T, kind string) api.Run {
	t.Helper()
	last := f.Backups().Record(f.marker, kind).Last
	if last == nil {
		t.Fatalf("%s remembers no %s", f.marker.Member, kind)
	}
	return *last
}

// backups returns the backups that a host knows of.
func (f *fleetMember) backups(t *testing.T) api.Backups {
	t.Helper()
	all, err := f.Backups().List(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestOneMemberDoesEachRun holds that of members that are started for one run, one does it, and that all know who.
func TestOneMemberDoesEachRun(t *testing.T) {
	t.Parallel()
	members := fleetOf(t, newAuthority(t), "a", "b", "c")
	backedUp(t, backupOf(), members...)
	share(t, members)
	members[0].put(t, 20)
	for _, kind := range backups.Kinds {
		var all sync.WaitGroup
		for _, f := range members {
			all.Go(func() {
				if err := f.run(t, kind, false); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		by := members[0].agreed(t, kind)
		did := 0
		for _, f := range members {
			if newest := f.Backups().Record(f.marker, kind).Newest(); newest.Before(by.At.Add(-time.Minute)) {
				t.Errorf("%s knows of no %s since %s", f.marker.Member, kind, newest)
			} else if status, err := f.Backups().Status(t.Context(), f.marker); err != nil || map[string]time.Time{backups.KindBackup: status.Newest, backups.KindRehearsal: status.Proved}[kind] != newest || status.Since.IsZero() || status.Rehearsing.IsZero() {
				t.Errorf("%s knows of a %s at %s, and tells %+v, %v", f.marker.Member, kind, newest, status, err)
			}
			if record := f.Backups().Record(f.marker, kind); record.Last != nil {
				did++
				if record.Last.Error != "" || record.Last.Backup != by.Backup || f.marker.Member != by.Member {
					t.Errorf("%s of %s is %+v, and the members know of %+v", kind, f.marker.Member, *record.Last, by)
				}
			}
		}
		if found := members[1].backups(t); did != 1 || len(found.Backups) != 1 || len(found.Problems) > 0 || found.Backups[0].Name != by.Backup {
			t.Errorf("%d members did the %s, and there are %+v", did, kind, found)
		}
	}
	found := members[2].backups(t).Backups[0]
	if found.VerifiedAt.IsZero() || found.Keys < 20 || found.Hash == 0 || found.EtcdVersion == "" || found.Destination != "directory" {
		t.Errorf("it is %+v", found)
	}
	// Whoever asks gets one all the same.
	members[1].mustRun(t, backups.KindBackup)
	if all := members[0].backups(t).Backups; len(all) != 2 || members[0].agreed(t, backups.KindBackup).Member != "b" {
		t.Errorf("there are %+v", all)
	}
	mustBeCleanUp(t, members...)
}

// mustBeCleanUp wants nothing beside the data of members but what runs remember.
func mustBeCleanUp(t *testing.T, members ...*fleetMember) {
	t.Helper()
	for _, f := range members {
		entries, err := os.ReadDir(f.path(api.BackupStateDir(dataDir)))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if ending := filepath.Ext(entry.Name()); ending != ".json" && ending != ".prom" {
				t.Errorf("%s has %s left", f.marker.Member, entry.Name())
			}
		}
	}
}

// TestAnotherTakesOver holds that a run whose member was killed is done by the one that waits for it.
func TestAnotherTakesOver(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "TestOneMemberDoesEachRun takes a backup with every minor version")
	members := fleetOf(t, newAuthority(t), "a", "b")
	// S3 that takes connections, and never says a word.
	silent, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(etcdclient.Loopback)})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	stuck := backupOf()
	stuck.Directory = ""
	stuck.S3 = &api.S3{Endpoint: "http://" + silent.Addr().String(), Region: "x", Bucket: "backups", PathStyle: true, AccessKeyID: "key", SecretAccessKey: secret.New("secret")}
	backedUp(t, stuck, members[0])
	backedUp(t, backupOf(), members[1])
	if err := silent.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	killed := members[0].child(t, backups.KindBackup)
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := bufio.NewReader(conn).ReadByte(); err != nil {
		t.Fatal(err) // it is at work
	}
	waiting := make(chan error, 1)
	go func() { waiting <- members[1].run(t, backups.KindBackup, false) }()
	eventually(t, "the other waits for its turn", func() bool {
		locks := 0
		members[1].client(t, func(c *clientv3.Client) {
			if all, err := c.Get(t.Context(), "_etcd-store/backup/lock/", clientv3.WithPrefix()); err == nil {
				locks = len(all.Kvs)
			}
		})
		return locks == 2
	})
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	if by := members[0].agreed(t, backups.KindBackup); by.Member != "b" || len(members[1].backups(t).Backups) != 1 {
		t.Errorf("it was done by %+v", by)
	}
	mustBeCleanUp(t, members...) // a snapshot that was being stored had no name
}

// TestRunsThatAreNotNow holds that a learner leaves runs to others, and says so to who has asked for one.
func TestRunsThatAreNotNow(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "TestOneMemberDoesEachRun takes a backup with every minor version")
	ca := newAuthority(t)
	members := fleetOf(t, ca, "a")
	learner := newcomer(t, ca, "b")
	if _, err := members[0].AddLearner(t.Context(), "main", api.AddLearnerRequest{Owner: fleetOwner, PeerURL: learner.peerURL(), Timeout: patience}); err != nil {
		t.Fatal(err)
	}
	learner.configure(t, append(members, learner), "existing")
	learner.start(t)
	learner.await(t, api.AwaitRequest{Learner: true})
	backedUp(t, backupOf(), learner)
	if err := learner.run(t, backups.KindBackup, false); err != nil || learner.Backups().Record(learner.marker, backups.KindBackup).Last != nil {
		t.Errorf("a learner: %v", err)
	}
	if err := learner.run(t, backups.KindBackup, true); err == nil || !strings.Contains(err.Error(), "learner") || learner.last(t, backups.KindBackup).Error == "" {
		t.Errorf("a learner that was asked: %v", err)
	}
}

// TestDestinationThatFails holds that a run in which one destination fails has failed, that the others have the
// backup, that nothing is let go where none came, and that no secret is in what it says.
func TestDestinationThatFails(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "TestOneMemberDoesEachRun takes a backup with every minor version")
	f := fleetOf(t, newAuthority(t), "a")[0]
	server := s3test.Start(t, s3test.Options{})
	server.MakeBucket(t, "backups")
	b := backupOf()
	b.Keep = api.Keep{Last: 1}
	b.S3 = &api.S3{Endpoint: server.Endpoint(), Region: s3test.Region, Bucket: "backups", Key: "some/where", PathStyle: true, AccessKeyID: s3test.AccessKeyID, SecretAccessKey: secret.New(s3test.SecretAccessKey)}
	backedUp(t, b, f)
	good := f.mustRun(t, backups.KindBackup)
	if all := f.backups(t).Backups; len(all) != 2 || all[0].Name != all[1].Name || all[0].Destination == all[1].Destination {
		t.Fatalf("there are %+v", all)
	}
	wrong := b
	wrong.Digest, wrong.S3 = "2", &api.S3{}
	*wrong.S3 = *b.S3
	wrong.S3.SecretAccessKey = secret.New("another-secret-of-the-bucket")
	backedUp(t, wrong, f)
	err := f.run(t, backups.KindBackup, true)
	if err == nil || !strings.Contains(err.Error(), "s3: ") || strings.Contains(err.Error(), wrong.S3.SecretAccessKey.Reveal()) {
		t.Fatalf("with wrong credentials: %v", err)
	}
	failed := f.last(t, backups.KindBackup)
	if failed.Error == "" || failed.Backup == good.Backup || failed.Backup == "" {
		t.Errorf("it is %+v", failed)
	}
	if record := f.Backups().Record(f.marker, backups.KindBackup); record.Failures != 1 || record.Good.Backup != good.Backup {
		t.Errorf("the host remembers %+v", record)
	}
	text, err := os.ReadFile(f.path(backups.MetricsFile(api.BackupStateDir(dataDir), backups.KindBackup, "main")))
	if err != nil || !strings.Contains(string(text), "etcd_backup_last_run_success{cluster=\"main\"} 0\n") || !strings.Contains(string(text), "etcd_backup_failures_total{cluster=\"main\"} 1\n") {
		t.Errorf("the metrics are %s, %v", text, err)
	}
	backedUp(t, b, f)
	all := f.backups(t)
	if len(all.Backups) != 2 || all.Backups[0].Name != failed.Backup || all.Backups[0].Destination != "directory" || all.Backups[1].Name != good.Backup || all.Backups[1].Destination != "s3" {
		t.Errorf("there are %+v", all)
	}
	for _, name := range []string{backups.RecordFile(dataDir, backups.KindBackup), backups.MetricsFile(api.BackupStateDir(dataDir), backups.KindBackup, "main")} {
		mustHave(t, f.Machine, name, files.RootUser, 0o644)
		text, err := os.ReadFile(f.path(name))
		if err != nil || strings.Contains(string(text), wrong.S3.SecretAccessKey.Reveal()) || strings.Contains(string(text), s3test.SecretAccessKey) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	mustHave(t, f.Machine, api.BackupFile("main"), files.RootUser, 0o600)
	// The next one is well again, and lets the older ones go.
	f.mustRun(t, backups.KindBackup)
	if all := f.backups(t).Backups; len(all) != 2 || all[0].Name != all[1].Name {
		t.Errorf("there are %+v", all)
	}
	// It is rehearsed from where it survives the host. What that has proved counts in the directory too, which is never
	// rehearsed: there it stays, and the others go.
	proved := f.mustRun(t, backups.KindRehearsal).Backup
	kept := b
	kept.Digest, kept.Keep = "3", api.Keep{Last: 1, Verified: 1}
	backedUp(t, kept, f)
	for range 2 {
		f.mustRun(t, backups.KindBackup)
	}
	for _, one := range f.backups(t).Backups {
		if newest := f.last(t, backups.KindBackup).Backup; one.Name != newest && one.Name != proved || one.VerifiedAt.IsZero() != (one.Name == newest) {
			t.Errorf("%s: there is %+v", one.Destination, one)
		}
	}
	if all := f.backups(t).Backups; len(all) != 4 {
		t.Errorf("there are %+v", all)
	}
	f.mustRun(t, backups.KindRehearsal)
	// What a run that was killed has left does not wait for a run that is well.
	left := f.path(backupDir + "/main/.partial-killed")
	writeFile(t, f.Machine, backupDir+"/main/.partial-killed", "x")
	old := f.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	said := 0
	if err := f.Backups().RunBackup(t.Context(), "main", true, func(string) {
		said++
		if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what was left by a run that was killed: %v", err)
		}
	}); err != nil || said == 0 {
		t.Errorf("it has said so much: %d, %v", said, err)
	}
	// A flipped byte there is found.
	flip(t, server.File("backups", "some/where/main/"+f.last(t, backups.KindBackup).Backup+".db"))
	if err := f.run(t, backups.KindRehearsal, true); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a flipped byte in S3: %v", err)
	}
}

// flip changes one bit in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// identityOf returns an age key.
func identityOf(t *testing.T) *age.X25519Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRehearsalByWhoHasTheBackup holds that where backups lie in directories of the hosts' own, a rehearsal is left to
// the member that has the newest.
func TestRehearsalByWhoHasTheBackup(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "TestOneMemberDoesEachRun takes a backup with every minor version")
	members := fleetOf(t, newAuthority(t), "a", "b")
	backedUp(t, backupOf(), members...)
	a, b := members[0], members[1]
	made := b.mustRun(t, backups.KindBackup)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// It waits, until it is told not to.
	if err := a.Backups().RehearseAfter(ctx, "main", false, time.Hour, func(string) { cancel() }); !errors.Is(err, context.Canceled) || a.Backups().Record(a.marker, backups.KindRehearsal).Last != nil {
		t.Errorf("the member that has not got it: %v", err)
	}
	if err := b.Backups().RehearseAfter(t.Context(), "main", false, time.Hour, func(string) {}); err != nil || b.last(t, backups.KindRehearsal).Backup != made.Backup {
		t.Errorf("the member that has it: %v", err)
	}
	if err := a.run(t, backups.KindRehearsal, false); err != nil || a.Backups().Record(a.marker, backups.KindRehearsal).Last != nil {
		t.Errorf("the other, after it: %v", err)
	}
}
