package embedded

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// named returns a store whose hash is made of two letters.
func named(version, architecture, letters string) Store {
	return Store{EtcdVersion: version, Architecture: architecture, SHA256: strings.Repeat(letters, 32)}
}

var (
	old    = named("3.7.9", "amd64", "aa")
	recent = named("3.7.10", "amd64", "bb")
	arm    = named("3.7.10", "arm64", "cc")
	before = named("3.6.16", "amd64", "dd")
)

// library returns a library of these stores.
func library(t *testing.T) *Library {
	t.Helper()
	dir := fstest.MapFS{"README": {}, ".gitignore": {}}
	for _, s := range []Store{before, old, recent, arm} {
		dir[s.Name()] = &fstest.MapFile{Data: []byte("\x1f\x8b" + s.SHA256)}
	}
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestNewest(t *testing.T) {
	l := library(t)
	if diff := cmp.Diff([]Store{recent, arm, old, before}, l.Stores()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"3.7.10", "3.7.9", "3.6.16"}, l.Versions()); diff != "" {
		t.Error(diff)
	}
	for desired, want := range map[string]string{"": "3.7.10", "3.7": "3.7.10", "3.7.9": "3.7.9", "3.6": "3.6.16", "3.6.16": "3.6.16"} {
		if got, err := l.Newest(desired); err != nil || got != want {
			t.Errorf("of %q the newest is %q, %v; want %q", desired, got, err, want)
		}
	}
	for _, desired := range []string{"3", "3.7.1", "3.8", "3.70", "7"} {
		if got, err := l.Newest(desired); err == nil || !strings.Contains(err.Error(), "3.7.10, 3.7.9, 3.6.16") {
			t.Errorf("of %q the newest is %q, %v", desired, got, err)
		}
	}
}

func TestFind(t *testing.T) {
	l := library(t)
	for _, test := range []struct {
		desired, architecture string
		want                  Store
	}{{"3.7", "amd64", recent}, {"3.7", "arm64", arm}, {"3.7.9", "amd64", old}, {"3.6", "amd64", before}} {
		if got, err := l.Find(test.desired, test.architecture); err != nil || got != test.want {
			t.Errorf("%s for %s is %+v, %v", test.desired, test.architecture, got, err)
		}
	}
	if got, err := l.Find("3.6", "arm64"); err == nil || !strings.Contains(err.Error(), "make build ARCH=arm64") {
		t.Errorf("3.6 for arm64 is %+v, %v", got, err)
	}
}

func TestHashesAndArchives(t *testing.T) {
	l := library(t)
	want := map[string]string{"amd64": recent.SHA256, "arm64": arm.SHA256}
	if got := l.Hashes("3.7.10"); !maps.Equal(got, want) {
		t.Errorf("they are %v, want %v", got, want)
	}
	if got := l.Hashes("3.7"); len(got) != 0 {
		t.Errorf("of a minor version they are %v", got)
	}
	if got, err := l.Archive(arm.SHA256); err != nil || string(got) != "\x1f\x8b"+arm.SHA256 {
		t.Errorf("it is %q, %v", got, err)
	}
	if got, err := l.Archive(strings.Repeat("ee", 32)); err == nil {
		t.Errorf("of no store it is %q", got)
	}
}

func TestAProviderWithoutStores(t *testing.T) {
	l, err := Open(fstest.MapFS{"README": {}})
	if err != nil {
		t.Fatal(err)
	}
	_, newest := l.Newest("3.7")
	_, find := l.Find("3.7", "amd64")
	_, archive := l.Archive(recent.SHA256)
	for _, err := range []error{newest, find, archive} {
		if !errors.Is(err, ErrNoStores) || !strings.Contains(err.Error(), "make build") {
			t.Errorf("it says %v", err)
		}
	}
	if got := l.Hashes("3.7.3"); len(got) != 0 {
		t.Errorf("it has %v", got)
	}
}

func TestFilesThatAreNoStores(t *testing.T) {
	for name, dir := range map[string]fstest.MapFS{
		"an unknown machine":     {"store-3.7.3-linux-mips-" + recent.SHA256 + ".gz": {}},
		"no version":             {"store-3.7-linux-amd64-" + recent.SHA256 + ".gz": {}},
		"a short hash":           {"store-3.7.3-linux-amd64-abc.gz": {}},
		"another name":           {"etcd.gz": {}},
		"two of one kind":        {named("3.7.3", "amd64", "aa").Name(): {}, named("3.7.3", "amd64", "bb").Name(): {}},
		"a name with more to it": {"x" + recent.Name(): {}},
	} {
		if l, err := Open(dir); err == nil {
			t.Errorf("%s: %+v", name, l.Stores())
		}
	}
	l, err := Open(fstest.MapFS{recent.Name(): {Data: []byte("version https://git-lfs")}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Archive(recent.SHA256); err == nil {
		t.Errorf("what is no archive reads %q", got)
	}
}

// TestWhatThisBuildCarries opens what is really embedded: nothing in a fresh checkout, and otherwise archives whose
// contents match their names.
func TestWhatThisBuildCarries(t *testing.T) {
	l, err := Built()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range l.Stores() {
		archive, err := l.Archive(s.SHA256)
		if err != nil {
			t.Error(err)
			continue
		}
		if sum, err := unpackedSum(archive); err != nil || sum != s.SHA256 {
			t.Errorf("%s unpacks to %s, %v", s.Name(), sum, err)
		}
	}
}

// unpackedSum returns the SHA-256 of an archive's contents.
func unpackedSum(archive []byte) (string, error) {
	binary, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, binary)
	return hex.EncodeToString(sum.Sum(nil)), err
}
