// package files keeps the host's files by their paths: a file is written whole or not at all, and what was written,
// renamed or removed is so for good, also after a power cut. What lies in a directory of another user is reached by
// handles, as the room inside does it.
package files

import (
	"io/fs"
	"path/filepath"
)

// Tree is the host's files, by their paths on the host. The package's functions take paths of this process, and say so.
type Tree struct {
	Root string // in front of every path; "/" except in tests

	// BeforeRename is called before every rename of a file or directory; nil except in tests, which end a call there as
	// a power cut would.
	BeforeRename func(path string)
}

// Path returns the path at which this process finds a path of the host.
func (t Tree) Path(p string) string { return filepath.Join(t.Root, p) }

// aboutToRename calls BeforeRename.
func (t Tree) aboutToRename(path string) {
	if t.BeforeRename != nil {
		t.BeforeRename(path)
	}
}

// Modes of the files and directories of a cluster's configuration.
const (
	PublicDir  fs.FileMode = 0o755 // lists names of clusters
	ConfigDir  fs.FileMode = 0o750 // root's; etcd may enter
	ConfigFile fs.FileMode = 0o640 // root's; etcd may read
	DataMode   fs.FileMode = 0o700 // etcd refuses any other
	KeyFile    fs.FileMode = 0o600
	UnitFile   fs.FileMode = 0o644
)

// Stamp is the format of times in names.
const Stamp = "20060102T150405Z"

// Owner is the owner of a file, by numbers.
type Owner struct{ UID, GID int }

// RootUser owns what etcd must not change.
var RootUser = Owner{0, 0}

// RootFor returns the owner of files that a user can read, by the user's group, and cannot change.
func RootFor(reader Owner) Owner { return Owner{RootUser.UID, reader.GID} }
