package api

import (
	"path"
	"regexp"
	"strings"
)

// ClusterName is what a cluster may be called. The name becomes a part of paths and unit names on its
// hosts, and is too short to be taken for the hash of a store.
var ClusterName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

// StoreRoot is where stores are installed: one directory for each, named by the SHA-256 of its
// binary, and beside them a link for each cluster that selects the one that it runs.
const StoreRoot = "/usr/local/lib/etcd-store"

// RunDir holds what goes with a boot, the locks among it. It is root's alone.
const RunDir = "/run/etcd-store"

// WantedStore is a file that says when a run of a cluster has brought a store, or found it there, which the cluster has not
// selected yet: in seconds since the host has booted.
func WantedStore(cluster, sha256 string) string {
	return path.Join(RunDir, "wanted-"+sha256+"-"+cluster)
}

// SystemUser is the user that etcd runs as.
const SystemUser = "etcd"

// Names of the key pairs in TLSDir: NAME.key and NAME.crt.
const (
	KeyPeer   = "peer"   // between members
	KeyServer = "server" // for clients
	KeyAdmin  = "admin"  // the store's own client certificate; readable by root alone
)

// KeyNames are the keys that a host holds for a cluster.
var KeyNames = []string{KeyPeer, KeyServer, KeyAdmin}

// InstalledStore is the path of the store binary with this SHA-256, in hexadecimal.
func InstalledStore(sha256 string) string { return path.Join(StoreRoot, sha256, "store") }

// SelectedStore is the link that selects the store which cluster runs: it points to a directory
// beside it, named by a hash.
func SelectedStore(cluster string) string { return path.Join(StoreRoot, cluster) }

// ConfigDir holds all of a cluster's configuration on a host.
func ConfigDir(cluster string) string { return path.Join("/etc/etcd", cluster) }

// FlagsFile holds etcd's complete flags, one a line.
func FlagsFile(cluster string) string { return path.Join(ConfigDir(cluster), "flags") }

// MarkerFile says whose host this is: a Marker as JSON.
func MarkerFile(cluster string) string { return path.Join(ConfigDir(cluster), "cluster.json") }

// TLSDir holds keys, certificates and CA bundles.
func TLSDir(cluster string) string { return path.Join(ConfigDir(cluster), "tls") }

// CertificateFile is the certificate of one of the key pairs.
func CertificateFile(cluster, key string) string { return path.Join(TLSDir(cluster), key+".crt") }

// KeyFile is the private key of one of the key pairs. It is made on the host and never read out.
func KeyFile(cluster, key string) string { return path.Join(TLSDir(cluster), key+".key") }

// NextKeyFile is the private key that takes the place of one that the member uses, once it is certified.
func NextKeyFile(cluster, key string) string { return path.Join(TLSDir(cluster), key+".next.key") }

// NextCertificateFile is the certificate of the key in NextKeyFile, until both take their places.
func NextCertificateFile(cluster, key string) string {
	return path.Join(TLSDir(cluster), key+".next.crt")
}

// PeerCAFile is the bundle of authorities that peers are trusted by.
func PeerCAFile(cluster string) string { return path.Join(TLSDir(cluster), "peer-ca.crt") }

// ClientCAFile is the bundle of authorities that clients and servers are trusted by.
func ClientCAFile(cluster string) string { return path.Join(TLSDir(cluster), "client-ca.crt") }

// DefaultDataDir is the data directory of a cluster that names none.
func DefaultDataDir(cluster string) string { return path.Join("/var/lib/etcd", cluster) }

// AsidePrefix begins the name of a directory that holds data which was moved aside, after the data
// directory's own name and a dot where it lies beside that: /var/lib/etcd/main.aside-retired-TIME.
// Where the data directory is a mount point it lies in it, /data/aside-retired-TIME, and counts as no
// data.
const AsidePrefix = "aside-"

// SnapshotDir is where a member keeps the snapshots that were taken before a change: beside its data.
func SnapshotDir(dataDir string) string { return dataDir + ".snapshots" }

// ProgressFile records how far the member's database had come when it last ended, outside of
// its data: a data directory that is older than that was rolled back.
func ProgressFile(cluster string) string { return path.Join(ConfigDir(cluster), "progress.json") }

// Unit is the name of the cluster's systemd unit.
func Unit(cluster string) string { return "etcd@" + cluster + ".service" }

// UnitFile is where Unit lies.
func UnitFile(cluster string) string { return path.Join("/etc/systemd/system", Unit(cluster)) }

// GuardStatus is the exit status by which the store refuses to start a member: EX_CONFIG of
// sysexits.h, which etcd itself never ends with. systemd does not try again after it.
const GuardStatus = 78

// Overlap names the directory of a member's own that another one is, lies in, or holds; empty: none. What a member has is
// moved and deleted as a whole, with whatever else lies there: the data, the state of its runs, its snapshots, and what was
// moved aside. Both paths are absolute, in their shortest spelling.
func Overlap(dir, dataDir string) string {
	for _, own := range []string{dataDir, BackupStateDir(dataDir), SnapshotDir(dataDir)} {
		if Within(dir, own) || Within(own, dir) {
			return own
		}
	}
	if aside := dataDir + "." + AsidePrefix; strings.HasPrefix(dir, aside) { // what holds one holds the data as well
		return aside + "*"
	}
	return ""
}

// Within tells whether path is dir or lies below it.
func Within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
