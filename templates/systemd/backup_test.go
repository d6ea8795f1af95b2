package systemd

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func runOptions() RunOptions {
	return RunOptions{
		Cluster: "main", Store: "/usr/local/lib/etcd-store/main", Schedule: "*-*-* 0/6:00:00 Europe/Berlin", Rehearsals: "*-*-* 0/6:00:00 Europe/Berlin", MemoryBytes: 8_137_000_000,
		StateDir: "/var/lib/etcd/main.backup", Writable: []string{"/srv/all backups", "/var/lib/node_exporter"}, Hidden: "/etc/etcd/main/renewal.json",
	}
}

// rendered are the units of a cluster's backups and rehearsals, by the names of their files.
func rendered(t *testing.T, o RunOptions) map[string]string {
	t.Helper()
	units, err := RenderRuns(o)
	if err != nil {
		t.Fatal(err)
	}
	return units
}

func TestRenderRuns(t *testing.T) {
	for name, text := range rendered(t, runOptions()) {
		mustBeGolden(t, name, text)
	}
}

// TestRunsWithoutDirectories: where backups go to S3 alone, and no rehearsals are wanted, there are units for neither.
// Which units there are is a part of what tells them from others.
func TestRunsWithoutDirectories(t *testing.T) {
	all := rendered(t, runOptions())
	few := runOptions()
	few.Writable, few.Rehearsals = nil, ""
	units := rendered(t, few)
	if names := slices.Sorted(maps.Keys(units)); !slices.Equal(names, []string{"etcd-backup@main.service", "etcd-backup@main.timer"}) {
		t.Errorf("there are %q", names)
	}
	if strings.Contains(units["etcd-backup@main.service"], "reach") {
		t.Errorf("it waits for links:\n%s", units["etcd-backup@main.service"])
	}
	other := maps.Clone(all)
	other["etcd-reach@main.service"] += "Nice=1\n"
	if Digest(all) == Digest(units) || Digest(all) == Digest(other) || Digest(all) != Digest(rendered(t, runOptions())) {
		t.Error("the digest of units does not tell them apart")
	}
}

// TestNoSandboxNamesADirectoryOfRuns: systemd would look at it before it executes anything, for as long as the server
// of its file system is gone.
func TestNoSandboxNamesADirectoryOfRuns(t *testing.T) {
	o := runOptions()
	for name, text := range rendered(t, o) {
		for line := range strings.Lines(text) {
			for _, dir := range o.Writable {
				if strings.Contains(line, dir) {
					t.Errorf("%s names %s: %s", name, dir, line)
				}
			}
		}
	}
}

// TestSystemdReadsRuns holds that systemd understands every word.
func TestSystemdReadsRuns(t *testing.T) { mustBeRead(t, rendered(t, runOptions())) }

// mustBeRead has systemd read units, by the names of their files.
func mustBeRead(t *testing.T, units map[string]string) {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	dir := t.TempDir()
	var paths []string
	for name, text := range units {
		// It wants the program to be there.
		text = strings.ReplaceAll(text, "/usr/local/lib/etcd-store/main/store", "/bin/true")
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	output, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, paths...)...).CombinedOutput()
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, dir) || strings.Contains(line, "etcd-") {
			t.Error(strings.TrimSpace(line))
		}
	}
	if err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, output)
	}
}

// mustBeExposedBy holds that systemd makes at most so much of a service's exposure, in tenths.
func mustBeExposedBy(t *testing.T, most, name, text string) {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold="+most, path).CombinedOutput()
	if strings.Contains(string(output), "unrecognized option") {
		t.Skip("systemd-analyze is too old to look at a unit that is not installed")
	} else if err != nil {
		t.Errorf("%s: %v\n%s", name, err, output)
	}
}

// TestRunsAreExposedAsLittleAsRootCan keeps what systemd makes of the sandbox of the runs. What is left of it is root's
// work: root itself, among the host's users, with its say over the files of others (0.8); the network, to the member
// and to S3 wherever that is, and sockets (1.1); the clock that ProtectClock lets it read, and the host's root
// directory (0.2).
func TestRunsAreExposedAsLittleAsRootCan(t *testing.T) {
	for name, text := range rendered(t, runOptions()) {
		if filepath.Ext(name) == ".service" {
			mustBeExposedBy(t, exposures[name], name, text)
		}
	}
}

// exposures are the most that systemd may make of the exposure of a run's unit, in tenths. A rehearsal looks for the
// memory that is available.
var exposures = map[string]string{"etcd-backup@main.service": "18", "etcd-rehearsal@main.service": "19", "etcd-reach@main.service": "18"}

func TestRenderRunsRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*RunOptions){
		"a line in the name":      func(o *RunOptions) { o.Cluster = "main\nExecStart=/bin/sh" },
		"no schedule":             func(o *RunOptions) { o.Schedule = "" },
		"a line in the schedule":  func(o *RunOptions) { o.Schedule = "daily\nUnit=halt.target" },
		"a specifier in it":       func(o *RunOptions) { o.Schedule = "%h" },
		"nor one of rehearsals":   func(o *RunOptions) { o.Rehearsals = "daily\nUnit=halt.target" },
		"nowhere to write":        func(o *RunOptions) { o.StateDir = "" },
		"a line in a directory":   func(o *RunOptions) { o.Writable = []string{"/data\nUser=root"} },
		"a directory that is etc": func(o *RunOptions) { o.Writable = []string{"/etc"} },
		"a line in the file":      func(o *RunOptions) { o.Hidden = "/data\nUser=root" },
		"no memory":               func(o *RunOptions) { o.MemoryBytes = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			options := runOptions()
			spoil(&options)
			if units, err := RenderRuns(options); err == nil {
				t.Errorf("it was rendered:\n%s", units)
			}
		})
	}
}

// TestMountUnits compares the names of units with systemd's own.
func TestMountUnits(t *testing.T) {
	escape, err := exec.LookPath("systemd-escape")
	if err != nil {
		t.Skip("there is no systemd-escape here")
	}
	for _, dir := range []string{"/srv", "/srv/all backups", "/mnt/a-b/.c/d_e.f:g/ü"} {
		var want []string
		for at := dir; at != "/"; at = filepath.Dir(at) {
			name, err := exec.Command(escape, "--path", "--suffix=mount", at).Output()
			if err != nil {
				t.Fatal(err)
			}
			want = append([]string{strings.TrimSpace(string(name))}, want...)
		}
		if got := MountUnits(dir); !slices.Equal(got, want) {
			t.Errorf("%s: %q, and systemd says %q", dir, got, want)
		}
	}
}

// TestOneSlice holds that the weights of a member and of its runs are compared with each other, and that the member has
// the most of them.
func TestOneSlice(t *testing.T) {
	member, err := Render(Options{Cluster: "main", Store: "/usr/local/lib/etcd-store/main", GuardStatus: 78, DataDir: "/var/lib/etcd/main", MemoryBytes: 8_137_000_000})
	if err != nil {
		t.Fatal(err)
	}
	units := rendered(t, runOptions())
	value := func(unit, key string) string {
		for line := range strings.Lines(unit) {
			if found, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
				return found
			}
		}
		return ""
	}
	backup, rehearsal := units["etcd-backup@main.service"], units["etcd-rehearsal@main.service"]
	for _, key := range []string{"CPUWeight", "IOWeight"} {
		if got := []string{value(member, key), value(backup, key), value(rehearsal, key)}; !slices.Equal(got, []string{"1000", "20", "1"}) {
			t.Errorf("%s: %q", key, got)
		}
	}
	if slice := value(member, "Slice"); slice != "system.slice" || value(backup, "Slice") != slice || value(rehearsal, "Slice") != slice {
		t.Errorf("they are in %q, %q and %q", slice, value(backup, "Slice"), value(rehearsal, "Slice"))
	}
}
