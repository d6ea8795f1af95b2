package host

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// backing returns a machine whose member runs, and which can back its cluster up.
func backing(t *testing.T) (*Machine, *fakeUnits) {
	t.Helper()
	m, fake, _ := formed(t)
	describe(t, m)
	run := m.Run
	m.Run = func(ctx context.Context, name string, args ...string) ([]byte, error) {
		switch name {
		case "systemd-analyze":
			return units.Exec(ctx, name, args...)
		case "journalctl":
			return []byte("the end of the journal\n"), nil
		}
		return run(ctx, name, args...)
	}
	return m, fake
}

func backUp(t *testing.T, m *Machine, b *api.Backup) error {
	t.Helper()
	return m.Backups().BackUp(t.Context(), "main", api.BackUpRequest{Owner: fleetOwner, Backup: b})
}

// backupsOf returns what a host reports of its backups.
func backupsOf(t *testing.T, m *Machine) *api.BackupStatus {
	t.Helper()
	o, err := m.Observe(t.Context(), "main", api.ObserveRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return o.Backup
}

func TestBackUpAndDisable(t *testing.T) {
	m, units := backing(t)
	before := tree(t, m, "/")
	if status := backupsOf(t, m); status != nil {
		t.Errorf("of no backups it says %+v", *status)
	}
	writeFile(t, m, "/var/lib/metrics/x", "")
	metrics := "/var/lib/metrics"
	b := backupOf()
	b.MetricsDir, b.Rehearsal.Identity = metrics, secret.New(identityOf(t).String())
	if err := backUp(t, m, &b); err != nil {
		t.Fatal(err)
	}
	if status := backupsOf(t, m); status == nil || status.Digest != "1" || !status.Enabled || status.Last != nil || status.Rehearsed != nil {
		t.Errorf("it says %+v", status)
	}
	all, err := m.Backups().AllUnits("main")
	if err != nil || len(all) != 5 {
		t.Errorf("its units are %q, %v", all, err)
	}
	for _, name := range all {
		if units.loaded[name] == "" || units.enabled[name] != strings.HasSuffix(name, ".timer") {
			t.Errorf("unit %s: enabled %v: %s", name, units.enabled[name], units.loaded[name])
		}
	}
	mustHave(t, m, api.BackupFile("main"), files.RootUser, 0o600)
	for path, text := range tree(t, m, "/") {
		if path != api.BackupFile("main") && strings.Contains(text, b.Rehearsal.Identity.Reveal()) {
			t.Errorf("%s holds the identity", path)
		}
	}
	// Once more, and nothing is touched.
	done, reloads := tree(t, m, "/"), units.reloads
	if err := backUp(t, m, &b); err != nil || units.reloads != reloads {
		t.Errorf("the second call: %v, and %d reloads", err, units.reloads-reloads)
	}
	if diff := cmp.Diff(done, tree(t, m, "/")); diff != "" {
		t.Errorf("the second call has changed the host:\n%s", diff)
	}
	// A timer that somebody has stopped is told of.
	if err := units.Stop(t.Context(), api.RehearsalUnit("main")+".timer"); err != nil {
		t.Fatal(err)
	}
	if backupsOf(t, m).Enabled {
		t.Error("a timer that was stopped counts as enabled")
	}
	b.Rehearsal, b.Digest, b.Schedule = nil, "2", "daily"
	if err := backUp(t, m, &b); err != nil {
		t.Fatal(err)
	}
	if status := backupsOf(t, m); status.Digest != "2" || !status.Enabled || units.loaded[api.RehearsalUnit("main")+".timer"] != "" || !strings.Contains(units.loaded[api.BackupUnit("main")+".timer"], "OnCalendar=daily\n") {
		t.Errorf("changed, it says %+v, and systemd knows %q", status, units.loaded)
	}
	writeFile(t, m, backups.MetricsFile(metrics, backups.KindBackup, "main"), "old news")
	writeFile(t, m, backupDir+"/main/kept", "x")
	if err := backUp(t, m, nil); err != nil {
		t.Fatal(err)
	}
	for path := range tree(t, m, "/srv") {
		before[path] = tree(t, m, "/srv")[path]
	}
	for path, text := range tree(t, m, metrics) {
		before[path] = text
	}
	before["/var/lib"] = tree(t, m, "/")["/var/lib"]
	after := tree(t, m, "/")
	for _, path := range []string{"", "/proc", "/etc/machine-id"} {
		delete(before, path)
		delete(after, path)
	}
	if diff := cmp.Diff(before, after); diff != "" || backupsOf(t, m) != nil {
		t.Errorf("backups are disabled, and left:\n%s", diff)
	}
	if len(tree(t, m, metrics)) != 2 || after[backupDir+"/main/kept"] == "" {
		t.Errorf("there are %q", paths(after))
	}
	if err := backUp(t, m, nil); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// TestBackupsCountFromTheirSchedule: since when a host has its schedule, it says by the schedule alone.
func TestBackupsCountFromTheirSchedule(t *testing.T) {
	m, _ := backing(t)
	b := backupOf()
	since := func(change func()) time.Time {
		t.Helper()
		change()
		if err := backUp(t, m, &b); err != nil {
			t.Fatal(err)
		}
		status := backupsOf(t, m)
		old := status.Since.Add(-48 * time.Hour)
		for path := range tree(t, m, "/etc") { // two days pass
			if err := os.Chtimes(m.path(path), old, old); err != nil {
				t.Fatal(err)
			}
		}
		return status.Since
	}
	first := since(func() {})
	if got := since(func() { b.Digest = "2" }); got.After(first.Add(-time.Hour)) {
		t.Errorf("another digest: since %s, and was set up at %s", got, first)
	}
	if got := since(func() { b.Digest, b.Schedule = "3", "daily" }); got.Before(first) {
		t.Errorf("another schedule: since %s, and the first was set up at %s", got, first)
	}
}

// TestBackUpGoesOn holds that a call that was cut short does not pass for done.
func TestBackUpGoesOn(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "TestOneMemberDoesEachRun takes a backup with every minor version")
	for _, cut := range []string{"Reload", "Start"} {
		m, units := backing(t)
		b := backupOf()
		for _, digest := range []string{"1", "2"} {
			b.Digest, b.Schedule = digest, map[string]string{"1": "daily", "2": "weekly"}[digest]
			units.fail[cut] = errors.New("connection reset")
			if err := backUp(t, m, &b); err == nil {
				t.Fatal("it succeeded without systemd")
			}
			if status := backupsOf(t, m); cut == "Reload" && status != nil && status.Digest == digest {
				t.Errorf("%s, %s: it says %+v", cut, digest, status)
			}
			delete(units.fail, cut)
			if err := backUp(t, m, &b); err != nil {
				t.Fatal(err)
			}
			if status := backupsOf(t, m); status.Digest != digest || !status.Enabled || !strings.Contains(units.loaded[api.BackupUnit("main")+".timer"], b.Schedule) {
				t.Errorf("%s, %s: in the end it says %+v", cut, digest, status)
			}
		}
	}
}

func TestBackUpRefuses(t *testing.T) {
	sample.LeaveToNewestMinor(t, "TestOneMemberDoesEachRun takes a backup with every minor version")
	m, _ := backing(t)
	next := besides(t, m, "next", "/data/next")
	if err := os.Symlink(m.path("/var/lib/etcd"), m.path("/link")); err != nil {
		t.Fatal(err)
	}
	before := tree(t, m, "/")
	for name, test := range map[string]struct {
		spoil func(*api.Backup)
		says  string
	}{
		"no digest":                     {func(b *api.Backup) { b.Digest = "" }, "digest"},
		"no schedule":                   {func(b *api.Backup) { b.Schedule = "every now and then" }, "no schedule for systemd"},
		"a schedule that is over":       {func(b *api.Backup) { b.Schedule = "2020-01-01" }, "never comes"},
		"a flag as schedule":            {func(b *api.Backup) { b.Schedule = "--version" }, "no schedule"},
		"a rehearsal's":                 {func(b *api.Backup) { b.Rehearsal.Schedule = "x y" }, "no schedule"},
		"nowhere":                       {func(b *api.Backup) { b.Directory = "" }, "destination"},
		"in the data":                   {func(b *api.Backup) { b.Directory = dataDir + "/backups" }, "member's own"},
		"above the data":                {func(b *api.Backup) { b.Directory = "/var/lib/etcd" }, "member's own"},
		"the state of runs":             {func(b *api.Backup) { b.Directory = dataDir + ".backup" }, "member's own"},
		"the snapshots":                 {func(b *api.Backup) { b.Directory = dataDir + ".snapshots/b" }, "member's own"},
		"what was moved aside":          {func(b *api.Backup) { b.Directory = dataDir + ".aside-retired-x" }, "member's own"},
		"a neighbour's data":            {func(b *api.Backup) { b.Directory = "/data/next/b" }, "cluster " + next},
		"a neighbour's snapshots":       {func(b *api.Backup) { b.Directory = "/data/next.snapshots" }, "cluster " + next},
		"a link to the data":            {func(b *api.Backup) { b.Directory = "/link/main" }, "member's own"},
		"a link above the data":         {func(b *api.Backup) { b.Directory = "/link" }, "member's own"},
		"metrics above the data":        {func(b *api.Backup) { b.MetricsDir = "/var/lib/etcd" }, "member's own"},
		"metrics in the state of runs":  {func(b *api.Backup) { b.MetricsDir = dataDir + ".backup" }, "member's own"},
		"a hidden place":                {func(b *api.Backup) { b.Directory = "/home/backups" }, "/home"},
		"metrics that nobody reads":     {func(b *api.Backup) { b.MetricsDir = "/var/lib/nobody" }, "node_exporter"},
		"half of credentials":           {func(b *api.Backup) { b.S3 = &api.S3{Endpoint: "https://s3.example.com", Bucket: "b", AccessKeyID: "x"} }, "secret access key"},
		"a secret key as recipient":     {func(b *api.Backup) { b.Recipients = []string{"AGE-SECRET-KEY-1"} }, "public key"},
		"an identity that is no secret": {func(b *api.Backup) { b.Rehearsal.Identity = secret.New("age1xyz") }, "identity"},
	} {
		b := backupOf()
		test.spoil(&b)
		t.Log(name)
		mustRefuse(t, backUp(t, m, &b), test.says)
	}
	mustRefuse(t, m.Backups().BackUp(t.Context(), "main", api.BackUpRequest{Owner: "another"}), "another Terraform object")
	if diff := cmp.Diff(before, tree(t, m, "/")); diff != "" {
		t.Errorf("a refused call has changed the host:\n%s", diff)
	}
}

// besides puts another cluster on a host.
func besides(t *testing.T, m *Machine, cluster, dataDir string) string {
	t.Helper()
	marker, err := m.records().Marker("main")
	if err != nil {
		t.Fatal(err)
	}
	next := *marker
	next.Cluster, next.DataDir, next.ClientPort, next.PeerPort, next.MetricsPort = cluster, dataDir, 32379, 32380, 32381
	if err := m.putClaim(next, etcdOwner); err != nil {
		t.Fatal(err)
	}
	return cluster
}

// TestBackUpRefusesAMountOfTheData: a member's directory that is mounted elsewhere is the member's there as well.
func TestBackUpRefusesAMountOfTheData(t *testing.T) {
	m, _ := backing(t)
	if err := os.Mkdir(m.path("/mounted"), 0o755); err != nil {
		t.Fatal(err)
	}
	for mounted, directory := range map[string]string{dataDir: "/mounted/b", "/var/lib/etcd": "/mounted"} {
		if err := unix.Mount(m.path(mounted), m.path("/mounted"), "", unix.MS_BIND, ""); err != nil {
			t.Skipf("nothing can be mounted here: %v", err)
		}
		b := backupOf()
		b.Directory = directory
		err := backUp(t, m, &b)
		if err := unix.Unmount(m.path("/mounted"), unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
		mustRefuse(t, err, "member's own")
	}
}

// TestBackupsOutliveWhatTheyLieIn: where a store of before had backups stored in what is a member's own, neither the
// end of backups nor a purge deletes them.
func TestBackupsOutliveWhatTheyLieIn(t *testing.T) {
	sample.LeaveToNewestMinor(t, "TestOneMemberDoesEachRun takes a backup with every minor version")
	for _, directory := range []string{"/var/lib/etcd", dataDir + ".backup", dataDir + ".snapshots", dataDir + ".aside-old"} {
		for _, by := range []string{"main", "next"} {
			m, _ := backing(t)
			b := backupOf()
			if err := backUp(t, m, &b); err != nil {
				t.Fatal(err)
			}
			b.Directory = directory
			dir := directory + "/" + by
			if by == "next" {
				if directory == "/var/lib/etcd" {
					continue // apart from the data
				}
				besides(t, m, by, "/data/next")
			}
			marker, err := m.records().Marker(by)
			if err == nil {
				err = m.Backups().Put(*marker, b)
			}
			if err != nil {
				t.Fatal(err)
			}
			kept := dir + "/20260101T000000Z-r1-a.db"
			writeFile(t, m, kept, "x")
			purge := func() error {
				_, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: fleetOwner, Purge: true})
				return err
			}
			mustRefuse(t, purge(), dir, "purge")
			if by == "main" {
				mustNotFail(t, backUp(t, m, nil))
			}
			mustHave(t, m, kept, files.RootUser, 0o644)
			if by == "next" {
				mustNotFail(t, os.RemoveAll(m.path(dir)))
				mustNotFail(t, purge())
			}
		}
	}
}

// TestRetireEndsBackups holds that nothing of a cluster's backups outlives it on a host, but the backups.
func TestRetireEndsBackups(t *testing.T) {
	m, units := backing(t)
	b := backupOf()
	if err := backUp(t, m, &b); err != nil {
		t.Fatal(err)
	}
	writeFile(t, m, backups.RecordFile(dataDir, backups.KindBackup), "{}")
	writeFile(t, m, backupDir+"/main/kept", "x")
	if _, err := m.Retire(t.Context(), "main", api.RetireRequest{Owner: fleetOwner, Purge: true}); err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc(leftovers(t, m), func(path string) bool {
		return strings.HasPrefix(path, "/proc") || path == "/etc/machine-id" || path == "/etc/os-release"
	})
	if diff := cmp.Diff([]string{"/srv", backupDir, backupDir + "/main", backupDir + "/main/kept"}, left); diff != "" {
		t.Errorf("these are left:\n%s", diff)
	}
	if len(units.active)+len(units.enabled)+len(units.loaded) > 0 {
		t.Errorf("systemd still runs %v, starts %v, knows %v", units.active, units.enabled, units.loaded)
	}
}

// TestRunNow holds that the caller hears what became of the run that he has asked for.
func TestRunNow(t *testing.T) {
	m, units := backing(t)
	r := api.RunNowRequest{Owner: fleetOwner, Timeout: time.Minute}
	_, err := m.Backups().RunNow(t.Context(), "main", r)
	mustRefuse(t, err, "makes no backup")
	b := backupOf()
	b.Rehearsal = nil
	if err := backUp(t, m, &b); err != nil {
		t.Fatal(err)
	}
	_, err = m.Backups().RunNow(t.Context(), "main", api.RunNowRequest{Owner: fleetOwner, Timeout: time.Minute, Rehearsal: true})
	mustRefuse(t, err, "makes no rehearsal")
	asked := m.path(backups.AskedFile(dataDir, backups.KindBackup))

	runs := 0
	units.run = func(unit string) error {
		if runs++; runs == 1 {
			return nil // one that was under way before
		}
		writeFile(t, m, backups.RecordFile(dataDir, backups.KindBackup), `{"last": {"backup": "x", "revision": 7}}`)
		return os.Remove(asked)
	}
	status, err := m.Backups().RunNow(t.Context(), "main", r)
	if err != nil || runs != 2 || status.Last == nil || status.Last.Backup != "x" || status.Digest != "1" {
		t.Errorf("after %d runs: %+v, %v", runs, status, err)
	}
	units.run = func(unit string) error {
		writeFile(t, m, backups.RecordFile(dataDir, backups.KindBackup), `{"last": {"error": "the bucket is gone"}}`)
		return errors.Join(errors.New("unit "+unit+": systemd says failed"), os.Remove(asked))
	}
	_, err = m.Backups().RunNow(t.Context(), "main", r)
	mustFail(t, err, api.CodeFailed, "the bucket is gone", "the end of the journal")
	units.run = func(unit string) error { return errors.New("it did not even begin") }
	_, err = m.Backups().RunNow(t.Context(), "main", r)
	mustFail(t, err, api.CodeFailed)
	if _, err := os.Stat(asked); !os.IsNotExist(err) {
		t.Errorf("the next run is still asked for: %v", err)
	}
}
