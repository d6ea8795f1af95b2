package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup/frozentest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup/s3test"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// TestTwoClustersAtOnePlace: two clusters of one name that keep their backups at one place neither let go of each
// other's nor restore them, and each says that the other's are there.
func TestTwoClustersAtOnePlace(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "where backups lie is of no etcd's")
	server := s3test.Start(t, s3test.Options{})
	server.MakeBucket(t, "backups")
	b := backupOf()
	b.Directory, b.Keep = "", api.Keep{Last: 1}
	b.S3 = &api.S3{Endpoint: server.Endpoint(), Region: s3test.Region, Bucket: "backups", Key: "etcd", PathStyle: true, AccessKeyID: s3test.AccessKeyID, SecretAccessKey: secret.New(s3test.SecretAccessKey)}
	mine, hers := fleetOf(t, newAuthority(t), "a")[0], fleetOf(t, newAuthority(t), "b")[0]
	theirs, err := hers.Machine.records().Marker("main")
	if err != nil {
		t.Fatal(err)
	}
	theirs.Owner = "another-object"
	if err := hers.records().RewriteMarker(*theirs); err != nil {
		t.Fatal(err)
	}
	backedUp(t, b, mine)
	hers.Run, hers.Binary = mine.Run, mine.Binary
	if err := hers.Backups().BackUp(t.Context(), "main", api.BackUpRequest{Owner: theirs.Owner, Backup: &b}); err != nil {
		t.Fatal(err)
	}
	mine.put(t, 3)
	hers.put(t, 5)
	kept := mine.mustRun(t, backups.KindBackup)
	for range 3 {
		hers.mustRun(t, backups.KindBackup)
	}
	last := hers.last(t, backups.KindBackup)
	for by, f := range map[string]*fleetMember{kept.Backup: mine, last.Backup: hers} {
		all := f.backups(t).Backups
		if len(all) != 2 || all[0].Foreign == all[1].Foreign {
			t.Fatalf("%s finds %+v", f.marker.Member, all)
		}
		for _, one := range all {
			if one.Foreign != (one.Name != by) {
				t.Errorf("%s finds %+v", f.marker.Member, one)
			}
		}
	}
	mine.mustRun(t, backups.KindRehearsal) // of its own, which is not the newest there
	for name, in := range map[string]*api.S3{"its own storage": nil, "a bucket that is named": b.S3} {
		from, err := mine.Backups().Open(t.Context(), "main", fleetOwner, api.LatestBackup, in)
		if err != nil || from.What != "backup "+kept.Backup {
			t.Errorf("%s: the latest is %+v, %v", name, from, err)
		} else if err := from.Close(); err != nil {
			t.Error(err)
		}
		if _, err := mine.Backups().Open(t.Context(), "main", fleetOwner, last.Backup, in); err == nil || !strings.Contains(err.Error(), "another cluster of this name") || !strings.Contains(err.Error(), "restore.s3") {
			t.Errorf("%s, the other's by its name: %v", name, err)
		}
	}
	// A host that is built anew by another object, after all was lost, is told which there are.
	bare, _ := newMachine(t)
	if _, err := bare.Backups().Open(t.Context(), "main", "a third", api.LatestBackup, b.S3); err == nil || !strings.Contains(err.Error(), kept.Backup) || !strings.Contains(err.Error(), last.Backup) {
		t.Errorf("the latest of two: %v", err)
	}
	if from, err := bare.Backups().Open(t.Context(), "main", "a third", last.Backup, b.S3); err != nil || from.Close() != nil {
		t.Errorf("one of two by its name: %v", err)
	}
}

// TestDirectoryThatIsAway: a directory that is gone, or whose file system is not mounted, fails a run, which stores the
// backup where it can all the same; nothing is written under the mount point, and nothing is taken for the latest
// there.
func TestDirectoryThatIsAway(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "where backups lie is of no etcd's")
	f := fleetOf(t, newAuthority(t), "a")[0]
	// As on many an image.
	if err := errors.Join(os.MkdirAll(f.path("/var/srv"), 0o755), os.Symlink("var/srv", f.path("/srv"))); err != nil {
		t.Fatal(err)
	}
	server := s3test.Start(t, s3test.Options{})
	server.MakeBucket(t, "backups")
	b := backupOf()
	b.S3 = &api.S3{Endpoint: server.Endpoint(), Region: s3test.Region, Bucket: "backups", PathStyle: true, AccessKeyID: s3test.AccessKeyID, SecretAccessKey: secret.New(s3test.SecretAccessKey)}
	backedUp(t, b, f)
	away := map[string]func(back bool){
		"is not mounted": func(back bool) { f.units.active["srv.mount"] = map[bool]string{true: "active"}[back] },
		// systemd knows the mount point to which the path leads.
		"is not mounted (var-srv.mount": func(back bool) { f.units.active["var-srv.mount"] = map[bool]string{true: "active"}[back] },
		"is not there":                  func(bool) { _ = os.Rename(f.path(backupDir), f.path("/gone")) },
	}
	f.units.loaded["srv.mount"], f.units.loaded["var-srv.mount"] = "a mount", "a mount"
	f.units.active["var-srv.mount"] = "active"
	for i, says := range []string{"is not mounted", "is not mounted (var-srv.mount", "is not there"} {
		away[says](false)
		before := tree(t, f.Machine, "/var/srv")
		err := f.run(t, backups.KindBackup, true)
		if err == nil || !strings.Contains(err.Error(), "directory: ") || !strings.Contains(err.Error(), says) {
			t.Fatalf("a directory that %s: %v", says, err)
		}
		if diff := cmp.Diff(before, tree(t, f.Machine, "/var/srv")); diff != "" {
			t.Errorf("a directory that %s was written to:\n%s", says, diff)
		}
		last, all := f.last(t, backups.KindBackup), f.backups(t)
		if len(all.Backups) != min(i+1, 2) || all.Backups[0].Name != last.Backup || all.Backups[0].Destination != "s3" || len(all.Problems) != 1 || !strings.Contains(all.Problems[0], says) {
			t.Errorf("where a directory %s there are %+v", says, all)
		}
		away[says](true)
	}
}

// hung mounts a file system at a path of this process whose server never answers.
func hung(t *testing.T, path string) {
	t.Helper()
	server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no file system of ours can be mounted here: %v", err)
	}
	if err := syscall.Mount("hung", path, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server.Fd())); err != nil {
		_ = server.Close()
		t.Skipf("no file system of ours can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		// Calls that wait for the server end with it.
		if err := errors.Join(server.Close(), syscall.Unmount(path, syscall.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
}

// hangs is how long these tests wait for storage that hangs, and longer than a busy machine's answers.
const hangs = 5 * time.Second

// TestADirectoryThatHangs: a directory on a file system whose server is gone fails a run, which stores the backup in S3
// all the same, and it keeps neither a list of what there is nor an apply for ever.
func TestADirectoryThatHangs(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "where backups lie is of no etcd's")
	f := fleetOf(t, newAuthority(t), "a")[0]
	server := s3test.Start(t, s3test.Options{})
	server.MakeBucket(t, "backups")
	b := backupOf()
	b.S3 = &api.S3{Endpoint: server.Endpoint(), Region: s3test.Region, Bucket: "backups", PathStyle: true, AccessKeyID: s3test.AccessKeyID, SecretAccessKey: secret.New(s3test.SecretAccessKey)}
	backedUp(t, b, f)
	hung(t, f.path(backupDir))
	f.Hangs = hangs
	began := time.Now()
	err := f.run(t, backups.KindBackup, true)
	if err == nil || !strings.Contains(err.Error(), "directory: ") || !strings.Contains(err.Error(), "does not answer") {
		t.Fatalf("the run says %v", err)
	}
	found := f.backups(t)
	if len(found.Backups) != 1 || found.Backups[0].Destination != "s3" || len(found.Problems) != 1 || !strings.Contains(found.Problems[0], "does not answer") {
		t.Errorf("there are %+v", found)
	}
	mustRefuse(t, f.Backups().BackUp(t.Context(), "main", api.BackUpRequest{Owner: fleetOwner, Backup: &b}), "does not answer", "umount")
	if took := time.Since(began); took > patience {
		t.Errorf("it took %s", took)
	}
}

// TestADirectoryThatHangsMeanwhile: a directory whose storage hangs while a snapshot is taken there, or becomes a
// backup, fails the run, and S3 has its backup soon all the same.
func TestADirectoryThatHangsMeanwhile(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "where backups lie is of no etcd's")
	for name, large := range map[string]int{"as it is taken": 20, "once it is taken": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleetOf(t, newAuthority(t), "a")[0]
			server := s3test.Start(t, s3test.Options{})
			server.MakeBucket(t, "backups")
			b := backupOf()
			b.S3 = &api.S3{Endpoint: server.Endpoint(), Region: s3test.Region, Bucket: "backups", PathStyle: true, AccessKeyID: s3test.AccessKeyID, SecretAccessKey: secret.New(s3test.SecretAccessKey)}
			backedUp(t, b, f)
			freeze, _ := frozentest.Mount(t, f.path(backupDir))
			f.client(t, func(c *clientv3.Client) {
				for i := range large {
					if err := persist(t, func() error { _, err := c.Put(t.Context(), fmt.Sprint(i), strings.Repeat("x", 1<<20)); return err }); err != nil {
						t.Fatal(err)
					}
				}
			})
			f.Hangs = hangs
			if large > 0 {
				go func() {
					for t.Context().Err() == nil && !isStaged(f) {
						time.Sleep(time.Millisecond)
					}
					if t.Context().Err() == nil {
						freeze()
					}
				}()
			}
			f.Now = func() time.Time { // it is asked for the time of the snapshot
				if isStaged(f) {
					freeze()
				}
				return time.Now()
			}
			err := f.run(t, backups.KindBackup, true)
			if err == nil || !strings.Contains(err.Error(), "directory: ") || !strings.Contains(err.Error(), "does not answer") {
				t.Fatalf("the run says %v", err)
			}
			if found := f.backups(t); len(found.Backups) != 1 || found.Backups[0].Destination != "s3" {
				t.Errorf("there are %+v", found)
			}
		})
	}
}

// isStaged tells whether this process has a file without a name in a member's directory of backups.
func isStaged(f *fleetMember) bool {
	open, _ := filepath.Glob("/proc/self/fd/*")
	return slices.ContainsFunc(open, func(fd string) bool {
		path, _ := os.Readlink(fd)
		return strings.HasPrefix(path, f.path(backupDir)+"/") && strings.HasSuffix(path, "(deleted)")
	})
}

// TestASandboxNamesNoDirectoryThatHangs: what a unit names systemd looks at before it executes anything, so that units
// name links, which are there where what they lead to answers.
func TestASandboxNamesNoDirectoryThatHangs(t *testing.T) {
	m, units := backing(t)
	m.Hangs = hangs
	b := backupOf()
	b.MetricsDir = "/var/lib/metrics"
	writeFile(t, m, b.MetricsDir+"/x", "")
	mustNotFail(t, backUp(t, m, &b))
	for _, unit := range []string{api.BackupUnit("main"), api.RehearsalUnit("main")} {
		text := units.loaded[unit+".service"]
		for _, want := range []string{systemd.WritableLink("main", 0), systemd.WritableLink("main", 1), "Wants=" + api.ReachUnit("main"), "After=" + api.ReachUnit("main")} {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s:\n%s", unit, want, text)
			}
		}
	}
	var said []string
	links := func(when string, want ...string) {
		t.Helper()
		said = nil
		mustNotFail(t, m.Backups().Reach("main", func(line string) { said = append(said, line) }))
		for i, want := range want {
			if to, _ := os.Readlink(m.path(systemd.WritableLink("main", i))); to != want {
				t.Errorf("%s, link %d leads to %q, not to %q", when, i, to, want)
			}
		}
	}
	links("where both answer", b.Directory, b.MetricsDir)
	mustNotFail(t, os.Rename(m.path(b.MetricsDir), m.path("/gone")))
	links("where one is gone", b.Directory, "")
	t.Run("hangs", func(t *testing.T) {
		hung(t, m.path(b.Directory))
		links("where one hangs", "", "")
		if len(said) != 2 || !strings.Contains(said[0], b.Directory) || !strings.Contains(said[0], "does not answer") {
			t.Errorf("it says %q", said)
		}
	})
	links("where it is back", b.Directory, "")
	mustNotFail(t, backUp(t, m, nil))
	mustNotFail(t, m.Backups().Reach("main", func(string) {}))
	if left := paths(tree(t, m, "/")); slices.ContainsFunc(left, func(path string) bool { return strings.Contains(path, "reach") }) {
		t.Errorf("these are left: %q", left)
	}
}

// TestUnitsOfAnOlderStore: a host says by which units it makes its backups, so that others than its own are seen, and
// written anew without the member.
func TestUnitsOfAnOlderStore(t *testing.T) {
	sample.LeaveToNewestMinor(t, "where backups lie is of no etcd's")
	m, units := backing(t)
	b := backupOf()
	mustNotFail(t, backUp(t, m, &b))
	want := backupsOf(t, m).Units
	marker, err := m.records().Marker("main")
	mustNotFail(t, err)
	texts, err := m.Backups().UnitTexts(*marker, b)
	mustNotFail(t, err)
	if want == "" || want != systemd.Digest(texts) {
		t.Errorf("its units are %q, and those that it writes %q", want, systemd.Digest(texts))
	}
	mustNotFail(t, files.Remove(m.path("/etc/systemd/system/"+api.ReachUnit("main"))))
	path := "/etc/systemd/system/" + api.BackupUnit("main") + ".service"
	mustNotFail(t, os.WriteFile(m.path(path), []byte("[Service]\nReadWritePaths=/srv/backups\n"), 0o644))
	if got := backupsOf(t, m).Units; got == "" || got == want {
		t.Errorf("of an older store's units it says %q", got)
	}
	pid := units.pid
	mustNotFail(t, backUp(t, m, &b))
	if got := backupsOf(t, m).Units; got != want || units.pid != pid || units.loaded[api.ReachUnit("main")] == "" {
		t.Errorf("written anew, they are %q, and systemd knows %q", got, units.loaded)
	}
}

// TestUnitsThatSystemdHasNotRead: a host tells of units of backups that systemd has not read since their files were
// changed, and the next apply has systemd read them.
func TestUnitsThatSystemdHasNotRead(t *testing.T) {
	sample.LeaveToNewestMinor(t, "units are of no etcd's")
	m, units := backing(t)
	b := backupOf()
	mustNotFail(t, backUp(t, m, &b))
	good := backupsOf(t, m)
	if good.NeedReload {
		t.Errorf("at first it is %+v", good)
	}
	for _, unit := range []string{api.BackupUnit("main") + ".service", api.BackupUnit("main") + ".timer", api.ReachUnit("main")} {
		units.loaded[unit] = "[Unit]\n"
		if status := backupsOf(t, m); !status.NeedReload || status.Units != good.Units {
			t.Errorf("%s: it is %+v", unit, status)
		}
		mustNotFail(t, backUp(t, m, &b))
		if status := backupsOf(t, m); status.NeedReload {
			t.Errorf("%s: written anew it is %+v", unit, status)
		}
	}
}

// TestUnitsOfANewerStore: units that a newer version of the provider has written for backups, which call what this
// store does not have, are seen, and go when this one writes its own; somebody else's stay, and so do those of the
// member, of its firewall and of renewals.
func TestUnitsOfANewerStore(t *testing.T) {
	m, units := backing(t)
	b := backupOf()
	mustNotFail(t, backUp(t, m, &b))
	want := backupsOf(t, m).Units
	newer := func() {
		t.Helper()
		for _, name := range []string{"etcd-polish@main.service", "etcd-polish@main.timer"} {
			writeFile(t, m, "/etc/systemd/system/"+name, "# terraform-provider-etcd writes this file.\n[Service]\nExecStart=/usr/local/lib/etcd-store/main/store polish main\n")
			units.active[name] = "active"
		}
		if got := backupsOf(t, m).Units; got == "" || got == want {
			t.Errorf("of a newer store's units it says %q", got)
		}
	}
	all, err := m.Backups().AllUnits("main")
	mustNotFail(t, err)
	others := []string{"etcd-defrag@main.service", "etcd-polish@events.service", "my-etcd-polish@main.service"}
	for _, name := range api.Units("main") {
		if !slices.Contains(all, name) {
			others = append(others, name)
		}
	}
	for i, name := range others {
		writeFile(t, m, "/etc/systemd/system/"+name, []string{"", "# terraform-provider-etcd writes this file."}[min(i, 1)])
	}
	if got := backupsOf(t, m).Units; got != want {
		t.Errorf("of units of others it says %q", got)
	}
	for what, next := range map[string]*api.Backup{"written anew": &b, "no more": nil} {
		mustNotFail(t, backUp(t, m, &b))
		newer()
		mustNotFail(t, backUp(t, m, next))
		for _, name := range []string{"etcd-polish@main.service", "etcd-polish@main.timer"} {
			if exists(m.path("/etc/systemd/system/"+name)) || units.active[name] == "active" {
				t.Errorf("%s: %s is there, or runs", what, name)
			}
		}
		for _, name := range others {
			if !exists(m.path("/etc/systemd/system/" + name)) {
				t.Errorf("%s: %s is gone", what, name)
			}
		}
	}
}

// TestMetricsThatHang: a run that has stored its backup ends where its metrics cannot be written.
func TestMetricsThatHang(t *testing.T) {
	sample.LeaveToNewestMinor(t, "where backups lie is of no etcd's")
	f := fleetOf(t, newAuthority(t), "a")[0]
	f.Hangs = hangs
	b := backupOf()
	b.MetricsDir = "/srv/metrics"
	mustNotFail(t, os.MkdirAll(f.path(b.MetricsDir), 0o755))
	backedUp(t, b, f)
	hung(t, f.path(b.MetricsDir))
	if err := f.run(t, backups.KindBackup, true); err == nil || !strings.Contains(err.Error(), "write metrics to /srv/metrics") || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("the run says %v", err)
	}
	if last := f.last(t, backups.KindBackup); last.Error != "" || last.Backup == "" {
		t.Errorf("it has come to %+v", last)
	}
	mustRefuse(t, backUp(t, f.Machine, nil), "metrics directory /srv/metrics", "umount")
}
