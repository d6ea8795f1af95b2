package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/embedded"
)

// binary writes a file in place of a compiled store.
func binary(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPlace(t *testing.T) {
	dir := t.TempDir()
	name, err := place(binary(t, "a store"), "3.7.3", "amd64", dir)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := embedded.Parse(name); err != nil || s.EtcdVersion != "3.7.3" || s.Architecture != "amd64" {
		t.Errorf("its name reads %+v, %v", s, err)
	}
	first, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	archive, err := gzip.NewReader(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(archive); err != nil || string(text) != "a store" || archive.Name != "" || !archive.ModTime.IsZero() {
		t.Errorf("it unpacks to %q, %v, named %q, of %s", text, err, archive.Name, archive.ModTime)
	}

	// An archive that exists is not written again, and a damaged one is.
	before := stat(t, filepath.Join(dir, name))
	if _, err := place(binary(t, "a store"), "3.7.3", "amd64", dir); err != nil || !os.SameFile(before, stat(t, filepath.Join(dir, name))) {
		t.Errorf("an archive that was there was written again, %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), first[:len(first)-9], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := place(binary(t, "a store"), "3.7.3", "amd64", dir); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the archive is another one now, %v", err)
	}
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestPlaceRefusesWhatCannotBeFoundAgain(t *testing.T) {
	dir := t.TempDir()
	for version, architecture := range map[string]string{"3.7.3-rc.1": "amd64", "3.7.3": "mips", "": "arm64"} {
		if name, err := place(binary(t, "a store"), version, architecture, dir); err == nil {
			t.Errorf("etcd %q for %s was placed as %s", version, architecture, name)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("these are left: %v", left)
	}
}

func TestSweepKeepsWhatIsNoStore(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"README", ".gitignore", "old.gz", "old.gz.new", "current.gz"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := sweep(dir, map[string]bool{"current.gz": true}); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); err != nil || got != ".gitignore README current.gz" {
		t.Errorf("these are left: %s, %v", got, err)
	}
}

// ownPackages returns the folders of this repository that the store is built from, parents first.
func ownPackages(t *testing.T, s source) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.Dir}}{{end}}{{end}}", "./node/store")
	list.Dir, list.Stderr = s.root, os.Stderr
	output, err := list.Output()
	if err != nil {
		t.Fatalf("list what the store is built of: %v", err)
	}
	var folders []string
	for _, dir := range strings.Fields(string(output)) {
		folder, err := filepath.Rel(s.root, dir)
		if err != nil {
			t.Fatal(err)
		}
		folders = append(folders, folder)
	}
	slices.Sort(folders)
	if !slices.Contains(folders, "node/store") {
		t.Fatalf("the store is built of %q", folders)
	}
	return folders
}

// TestMakeKnowsWhatStoresAreBuiltOf holds that make compiles the store again after a change of any package that it is
// built from.
func TestMakeKnowsWhatStoresAreBuiltOf(t *testing.T) {
	s, err := findSource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.root, "GNUmakefile"))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^STORE_FILES := .*$`).FindString(string(text))
	for _, folder := range ownPackages(t, s) {
		known := slices.ContainsFunc(regexp.MustCompile(`\S+/%`).FindAllString(line, -1), func(pattern string) bool {
			return strings.HasPrefix(folder+"/", strings.TrimSuffix(pattern, "%"))
		})
		if !known {
			t.Errorf("the store is built of %s, and STORE_FILES of GNUmakefile does not hold it: %s", folder, line)
		}
	}
}

// TestCompileIsReproducible compiles the store of each minor version in this checkout and in a copy elsewhere: the same
// source gives the same bytes. With the compiler's cache, that is two links a minor version.
func TestCompileIsReproducible(t *testing.T) {
	sample.Leave(t, "nothing has its like: it links every store twice")
	here, err := findSource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	there := source{root: filepath.Join(t.TempDir(), "elsewhere"), minors: here.minors}
	for _, part := range append(ownPackages(t, here), "go.mod", "go.sum") {
		to := filepath.Join(there.root, part)
		if _, err := os.Stat(to); err == nil {
			continue // its folder is copied as a whole
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if text, err := exec.Command("cp", "-r", filepath.Join(here.root, part), to).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v: %s", part, err, text)
		}
	}
	for _, minor := range here.minors {
		var built [2][]byte
		for i, s := range []source{here, there} {
			to := filepath.Join(t.TempDir(), "store")
			// The copy is outside of git, and names no commit.
			if err := s.compile(t.Context(), minor, "unknown", runtime.GOARCH, to); err != nil {
				t.Fatal(err)
			}
			if built[i], err = os.ReadFile(to); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(built[0], built[1]) {
			t.Errorf("two builds of etcd %s of the same source differ", minor.etcd)
		}
		for _, secret := range []string{here.root, os.TempDir() + "/"} {
			if bytes.Contains(built[0], []byte(secret)) {
				t.Errorf("the binary names %s, where it was built", secret)
			}
		}
	}
}

func TestCommitOfAMinorVersion(t *testing.T) {
	s, err := findSource(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.root, "node", "embedded", "files", "README")); err != nil {
		t.Error(err)
	}
	outside := source{root: t.TempDir()}
	for _, minor := range s.minors {
		if got := s.lastCommit(t.Context(), minor); got == "" {
			t.Errorf("etcd %s has no commit", minor.etcd)
		}
		if got := outside.lastCommit(t.Context(), minor); got != "unknown" {
			t.Errorf("outside a checkout the commit of etcd %s is %q", minor.etcd, got)
		}
	}
}
