package api

import (
	"errors"
	"time"
)

// ErrNotAsked is why there is no answer to a first contact that has not reached the host: calls that are under way had
// all the sessions of the connection.
var ErrNotAsked = errors.New("the host was not asked")

// Contact is what the first-contact shell script finds out about a host, before it has a store to call. The script
// needs only POSIX sh and coreutils, and changes nothing.
type Contact struct {
	Kernel           string    // release: 6.1.0-28-amd64
	Machine          string    // as uname names it: x86_64, aarch64
	Systemd          bool      // PID 1 is systemd
	Time             time.Time // the host's clock, in whole seconds; zero: not known
	MachineID        string    // of /etc/machine-id; machines that were cloned from one image may share it
	BootID           string    // random, of this boot: with MachineID it identifies a machine
	Missing          []string  // required commands that are not there
	NoUserNamespaces bool      // the machine allows none, and a member's sandbox needs one
	OneSession       bool      // its sshd allows one session per connection, and a run needs two
	FirstPort        int       // the lowest port that users other than root may bind, 1 at least; 0: not known
	ReadOnly         bool      // StoreRoot lies on a file system that is mounted read-only
	NoExec           bool      // StoreRoot lies on a file system that is mounted noexec
	// Unwritable are the other places that a member's host is written in, and cannot be. A host that carries the
	// cluster says none.
	Unwritable []string
	FreeBytes  int64 // free for StoreRoot
	// DataFreeBytes is what is free for the data directory; 0: not known. A full file system has 1.
	DataFreeBytes int64
	Installed     []string // hashes of installed stores, sorted
	Marker        *Marker  // nil: the host carries no such cluster
	MarkerError   string   // why the marker cannot be read; empty: it can, or there is none
	DataNotEmpty  bool     // the requested data directory holds something
	Listening     []int    // the requested ports on which something listens
	// Holders are the programs that listen there, "nginx, process 812", as far as that could be told; nil where the
	// host carries the cluster.
	Holders     map[int]string `json:",omitempty"`
	ForeignEtcd []string       // executables of running etcd processes that are not our stores
	// Inventory is what the host is and has; nil: it was not asked for, or the host carries the cluster. It is never
	// kept, since it changes by itself.
	Inventory *Inventory `json:"-"`
}
