package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const etcdModules = "go.etcd.io/etcd/"

// required returns the versions that a module file requires directly, by path.
func required(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := exec.Command("go", "mod", "edit", "-json", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var module struct {
		Require []struct {
			Path, Version string
			Indirect      bool
		}
		Replace, Exclude []any
	}
	if err := json.Unmarshal(text, &module); err != nil {
		t.Fatal(err)
	}
	if len(module.Replace)+len(module.Exclude) > 0 {
		t.Errorf("%s replaces or excludes modules: stores are built from what is published", file)
	}
	direct := map[string]string{}
	for _, r := range module.Require {
		// An indirect module of etcd must have the same version as the direct ones.
		if !r.Indirect || strings.HasPrefix(r.Path, etcdModules) {
			direct[r.Path] = r.Version
		}
	}
	return direct
}

// TestMinorVersionsOfThisCheckout holds that each module file is of a different minor version, and that all of its etcd
// modules have one patch version.
func TestMinorVersionsOfThisCheckout(t *testing.T) {
	s, err := findSource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.minors) < 2 || s.minors[0].modfile != newest {
		t.Fatalf("they are %+v", s.minors)
	}
	minors := map[string]bool{}
	for _, l := range s.minors {
		minor := l.etcd[:strings.LastIndex(l.etcd, ".")]
		if minors[minor] {
			t.Errorf("two module files ask for etcd %s", minor)
		}
		minors[minor] = true
		for path, version := range required(t, filepath.Join(s.root, l.modfile)) {
			if strings.HasPrefix(path, etcdModules) && version != "v"+l.etcd {
				t.Errorf("%s asks for etcd %s, and for %s@%s", l.modfile, l.etcd, path, version)
			}
		}
	}
}

// TestMinorVersionsAreKeptInStep holds that the store is built with one version of each module that it imports,
// whatever the minor version of etcd: a fix in one is a fix in all. Only etcd and its storage, bbolt and raft, differ.
func TestMinorVersionsAreKeptInStep(t *testing.T) {
	s, err := findSource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ours := required(t, filepath.Join(s.root, newest))
	for _, l := range s.minors[1:] {
		for path, version := range required(t, filepath.Join(s.root, l.modfile)) {
			if own, both := ours[path]; both && own != version && !strings.HasPrefix(path, "go.etcd.io/") {
				t.Errorf("%s asks for %s %s, and %s for %s: go get -modfile=%s %s@%s", newest, path, own, l.modfile, version, l.modfile, path, own)
			}
		}
	}
}

func TestModuleFilesThatAreOfNoMinorVersion(t *testing.T) {
	for name, version := range map[string]string{"etcd-3.5.mod": "v3.6.16", "etcd-next.mod": "v3.6.16", "etcd-3.6.1.mod": "v3.6.16"} {
		root := t.TempDir()
		module := "module example.com/store\n\ngo 1.26.0\n\nrequire go.etcd.io/etcd/server/v3 "
		if err := os.MkdirAll(filepath.Join(root, "node", "store"), 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"go.mod": module + "v3.7.3\n", "node/store/" + name: module + version + "\n"} {
			if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if minors, err := findMinors(t.Context(), root); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s asking for %s: %+v, %v", name, version, minors, err)
		}
	}
}
