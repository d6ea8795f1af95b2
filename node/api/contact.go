package api

// Contact is what the first-contact shell finds out about a host, before any store is there to ask.
// It is read with nothing but POSIX sh and coreutils, and changes nothing.
type Contact struct {
	Kernel           string   // release: 6.1.0-28-amd64
	Machine          string   // as uname names it: x86_64, aarch64
	Systemd          bool     // PID 1 is systemd
	MachineID        string   // of /etc/machine-id; machines that were cloned from one image may share it
	BootID           string   // random, of this boot: with the machine ID it tells one machine under two addresses from two machines
	Missing          []string // commands that are needed and not there
	NoUserNamespaces bool     // the machine allows none, and the sandbox of a member takes one
	OneSession       bool     // its sshd opens one session at a time on a connection, and a run takes two
	FirstPort        int      // the lowest port that users other than root may bind, 1 at least; 0: not known
	ReadOnly         bool     // StoreRoot lies on a file system that is mounted read-only
	FreeBytes        int64    // free for StoreRoot
	// DataFreeBytes is what is free where the data directory is, or is going to be; 0: not known. One that is full has 1.
	DataFreeBytes int64
	Installed     []string // hashes of installed stores, sorted
	Marker        *Marker  // nil: the host carries no such cluster
	MarkerError   string   // the marker is there and cannot be read; empty: it can
	DataNotEmpty  bool     // something lies in the data directory that was asked about
	Listening     []int    // those of the ports that were asked about on which something listens
	ForeignEtcd   []string // executables of running etcd processes that are no store of ours
}
