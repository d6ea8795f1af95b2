// Package embedded holds the stores that the provider was built with.
package embedded

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed all:files
var files embed.FS

// Library is a set of stores, at most one for each etcd version and architecture.
type Library struct {
	files  fs.FS
	stores []Store // newest first, then by architecture
}

// Built are the stores that this provider was built with. There may be none: a provider can be built in a fresh
// checkout before any store is.
func Built() (*Library, error) {
	dir, err := fs.Sub(files, "files")
	if err != nil {
		return nil, err
	}
	return Open(dir)
}

// Open reads which stores a directory holds, by the names of its files alone.
func Open(dir fs.FS) (*Library, error) {
	names, err := fs.Glob(dir, "*.gz")
	if err != nil {
		return nil, err
	}
	l := &Library{files: dir}
	taken := map[string]string{}
	for _, name := range names {
		s, err := Parse(name)
		if err != nil {
			return nil, err
		}
		what := s.EtcdVersion + " for " + s.Architecture
		if other, twice := taken[what]; twice {
			return nil, fmt.Errorf("two stores are etcd %s: %s and %s; build them anew: %s", what, other, name, buildCommand)
		}
		taken[what] = name
		l.stores = append(l.stores, s)
	}
	slices.SortFunc(l.stores, func(a, b Store) int {
		if newer := compareVersions(b.EtcdVersion, a.EtcdVersion); newer != 0 {
			return newer
		}
		return strings.Compare(a.Architecture, b.Architecture)
	})
	return l, nil
}

// buildCommand is the command that builds stores in a checkout.
const buildCommand = "make build"

// ErrNoStores is returned if the provider carries no store at all.
var ErrNoStores = errors.New("this build of the provider carries no etcd to install: use a release, or build it from its checkout with `" + buildCommand + "`")

// Stores returns all stores, the newest first.
func (l *Library) Stores() []Store { return slices.Clone(l.stores) }

// Newest returns the newest version that satisfies a request: a minor version ("3.7"), an exact version ("3.7.3"), or
// "" for any.
func (l *Library) Newest(desired string) (string, error) {
	for _, s := range l.stores {
		if satisfies(s.EtcdVersion, desired) {
			return s.EtcdVersion, nil
		}
	}
	if len(l.stores) == 0 {
		return "", ErrNoStores
	}
	return "", fmt.Errorf("this build of the provider carries no etcd %s; it carries %s", desired, strings.Join(l.Versions(), ", "))
}

// Find returns the store of the newest version that satisfies a request, as Newest reads it, for an architecture as Go
// names it.
func (l *Library) Find(desired, architecture string) (Store, error) {
	version, err := l.Newest(desired)
	if err != nil {
		return Store{}, err
	}
	for _, s := range l.stores {
		if s.EtcdVersion == version && s.Architecture == architecture {
			return s, nil
		}
	}
	return Store{}, fmt.Errorf("this build of the provider carries no etcd %s for linux/%s: use a release, or build it with `%s ARCH=%s`", version, architecture, buildCommand, architecture)
}

// Hashes returns the SHA-256 of the stores of an exact version, by architecture as Go names it.
func (l *Library) Hashes(version string) map[string]string {
	hashes := map[string]string{}
	for _, s := range l.stores {
		if s.EtcdVersion == version {
			hashes[s.Architecture] = s.SHA256
		}
	}
	return hashes
}

// Archive returns the gzip of the store with this SHA-256. The caller must not change it.
func (l *Library) Archive(sha256 string) ([]byte, error) {
	for _, s := range l.stores {
		if s.SHA256 == sha256 {
			archive, err := fs.ReadFile(l.files, s.Name())
			if err == nil && !bytes.HasPrefix(archive, []byte{0x1f, 0x8b}) {
				err = fmt.Errorf("%s is no gzip archive: build it anew: %s", s.Name(), buildCommand)
			}
			return archive, err
		}
	}
	if len(l.stores) == 0 {
		return nil, ErrNoStores
	}
	return nil, fmt.Errorf("this build of the provider carries no store %s", sha256)
}

// Versions returns the versions of all stores, newest first.
func (l *Library) Versions() []string {
	var versions []string
	for _, s := range l.stores {
		versions = append(versions, s.EtcdVersion)
	}
	return slices.Compact(versions)
}
