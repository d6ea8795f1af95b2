package systemd

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestRender(t *testing.T) {
	for name, options := range map[string]Options{
		"main":             {Cluster: "main", Store: "/usr/local/lib/etcd-store/main", GuardStatus: 78, DataDir: "/var/lib/etcd/main", MemoryBytes: 8_137_000_000},
		"own-disk":         {Cluster: "events-2", Store: "/usr/local/lib/etcd-store/events-2", GuardStatus: 78, DataDir: "/srv/fast disk", MemoryBytes: 64 << 30},
		"smallest-machine": {Cluster: "a", Store: "/usr/local/lib/etcd-store/a", GuardStatus: 78, DataDir: "/var/lib/etcd/a", MemoryBytes: 500 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Render(options)
			if err != nil {
				t.Fatal(err)
			}
			mustBeGolden(t, name+".service", got)
		})
	}
}

// mustBeGolden compares a unit with its golden file.
func mustBeGolden(t *testing.T, name, got string) {
	t.Helper()
	golden := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; if it should, run go test ./templates/systemd -update\n%s", golden, diff)
	}
}

func TestRenderRefuses(t *testing.T) {
	good := Options{Cluster: "main", Store: "/usr/local/lib/etcd-store/main", GuardStatus: 78, DataDir: "/var/lib/etcd/main", MemoryBytes: 1 << 30}
	for name, spoil := range map[string]func(*Options){
		"a line in the name":        func(o *Options) { o.Cluster = "main\nExecStart=/bin/sh" },
		"a path in the name":        func(o *Options) { o.Cluster = "../main" },
		"no name":                   func(o *Options) { o.Cluster = "" },
		"no program":                func(o *Options) { o.Store = "" },
		"a program and an argument": func(o *Options) { o.Store = "/bin/sh -c" },
		"a line in the program":     func(o *Options) { o.Store = "/bin/sh\nUser=root" },
		"a line in the directory":   func(o *Options) { o.DataDir = "/data\nUser=root" },
		"a quote in the directory":  func(o *Options) { o.DataDir = `/data" "/etc` },
		"a specifier in the dir":    func(o *Options) { o.DataDir = "/data/%h" },
		"a relative directory":      func(o *Options) { o.DataDir = "data" },
		"a longer spelling":         func(o *Options) { o.DataDir = "/data/../etc" },
		"the root":                  func(o *Options) { o.DataDir = "/" },
		"a hidden place":            func(o *Options) { o.DataDir = "/home/etcd" },
		"a place that boots clear":  func(o *Options) { o.DataDir = "/tmp" },
		"memory that is not known":  func(o *Options) { o.MemoryBytes = 0 },
		"memory that cannot be had": func(o *Options) { o.MemoryBytes = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			options := good
			spoil(&options)
			if text, err := Render(options); err == nil {
				t.Errorf("it was rendered:\n%s", text)
			}
		})
	}
}

// TestRenderKeepsNeighbours holds that a directory is not refused for the beginning of its name.
func TestRenderKeepsNeighbours(t *testing.T) {
	for _, dir := range []string{"/homes/etcd", "/data", "/srv/etc", "/var/lib/etcd"} {
		if err := CheckDataDir(dir); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// TestMemoryLimitIsStable holds that two kernels that count the memory of one machine a little
// differently give it one unit.
func TestMemoryLimitIsStable(t *testing.T) {
	for _, nominal := range []int64{1 << 30, 2 << 30, 4 << 30, 8 << 30, 16 << 30, 64 << 30, 3 << 30, 12 << 30, 48 << 30} {
		want := memoryLimit(nominal)
		for _, counted := range []int64{nominal - nominal/200, nominal - nominal/60, nominal - nominal/20} {
			if got := memoryLimit(counted); got != want {
				t.Errorf("of %d bytes, a machine with %d, the limit is %d; want %d", counted, nominal, got, want)
			}
		}
		if want < nominal/2 || want > nominal*3/4 {
			t.Errorf("the limit of %d bytes is %d: not between a half and three quarters", nominal, want)
		}
	}
}

// TestUnitHasNoEmptyValue finds a placeholder that was rendered as nothing.
func TestUnitHasNoEmptyValue(t *testing.T) {
	text, err := Render(Options{Cluster: "main", Store: "/usr/local/lib/etcd-store/main", GuardStatus: 78, DataDir: "/data", MemoryBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	emptied := map[string]bool{"CapabilityBoundingSet=": true, "AmbientCapabilities=": true}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasSuffix(line, "=") && !emptied[line] {
			t.Errorf("line %q sets nothing", line)
		}
	}
}
