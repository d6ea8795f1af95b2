// package files keeps the host's files by their paths: a file is written whole or not at all, and what was written,
// renamed or removed is so for good, also after a power cut. What lies in a directory of another user is reached by
// handles, as the room inside does it.
package files

import (
	"io/fs"
	"path/filepath"
)

// Tree is the host's files, by their paths on the host. What takes the path of this process, the package's functions,
// says so.
type Tree struct {
	Root string // in front of every path; "/" but in tests

	// BeforeRename is told of every file or directory that is about to get its name; nil but in tests, which end
	// a call there as a power cut would.
	BeforeRename func(path string)
}

// Path is where a path of the host lies for this process.
func (t Tree) Path(p string) string { return filepath.Join(t.Root, p) }

// aboutToRename tells the tests.
func (t Tree) aboutToRename(path string) {
	if t.BeforeRename != nil {
		t.BeforeRename(path)
	}
}

// Modes of what a cluster's configuration is made of.
const (
	PublicDir  fs.FileMode = 0o755 // lists names of clusters
	ConfigDir  fs.FileMode = 0o750 // root's; etcd may enter
	ConfigFile fs.FileMode = 0o640 // root's; etcd may read
	DataMode   fs.FileMode = 0o700 // etcd refuses any other
	KeyFile    fs.FileMode = 0o600
	UnitFile   fs.FileMode = 0o644
)

// Stamp is how a time is spelled in a name.
const Stamp = "20060102T150405Z"

// Owner is who owns a file, by numbers.
type Owner struct{ UID, GID int }

// RootUser owns what etcd may not change.
var RootUser = Owner{0, 0}

// RootFor owns what a user may read, by the group of that user, and not change.
func RootFor(reader Owner) Owner { return Owner{RootUser.UID, reader.GID} }
