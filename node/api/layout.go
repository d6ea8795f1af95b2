package api

import (
	"path"
	"regexp"
	"strings"
)

// ClusterName matches the names that a cluster may have. A name becomes part of paths and unit names on hosts, and is
// too short to be taken for the hash of a store.
var ClusterName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

// StoreRoot is where stores are installed: each in a directory named by the SHA-256 of its binary, beside a link for
// each cluster that selects the store that it runs.
const StoreRoot = "/usr/local/lib/etcd-store"

// RunDir holds what goes with a boot, the locks among it. It is root's alone.
const RunDir = "/run/etcd-store"

// WantedStore is a file that says when a run of a cluster has brought a store, or found it there, which the cluster has
// not selected yet: in seconds since the host has booted.
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

// KeyNames are the keys that a host has for a cluster.
var KeyNames = []string{KeyPeer, KeyServer, KeyAdmin}

// ForKey returns what belongs to the authority that signs the certificate of a key: peers for KeyPeer, clients for the
// others.
func ForKey[T any](key string, peers, clients T) T {
	if key == KeyPeer {
		return peers
	}
	return clients
}

// InstalledStore is the path of the store binary with this SHA-256, in hexadecimal.
func InstalledStore(sha256 string) string { return path.Join(StoreRoot, sha256, "store") }

// SelectedStore is the link to the store that a cluster runs: to a directory beside it, named by a hash.
func SelectedStore(cluster string) string { return path.Join(StoreRoot, cluster) }

// ConfigDir is the directory of a cluster's configuration on a host.
func ConfigDir(cluster string) string { return path.Join("/etc/etcd", cluster) }

// FlagsFile holds all of etcd's flags, one per line.
func FlagsFile(cluster string) string { return path.Join(ConfigDir(cluster), "flags") }

// MarkerFile holds the host's Marker as JSON.
func MarkerFile(cluster string) string { return path.Join(ConfigDir(cluster), "cluster.json") }

// TLSDir is the directory of keys, certificates and CA bundles.
func TLSDir(cluster string) string { return path.Join(ConfigDir(cluster), "tls") }

// CertificateFile is the certificate of one of the key pairs.
func CertificateFile(cluster, key string) string { return path.Join(TLSDir(cluster), key+".crt") }

// KeyFile is the private key of one of the key pairs. It is made on the host and never leaves it.
func KeyFile(cluster, key string) string { return path.Join(TLSDir(cluster), key+".key") }

// NextKeyFile is the private key that replaces the member's current one once it has a certificate.
func NextKeyFile(cluster, key string) string { return path.Join(TLSDir(cluster), key+".next.key") }

// NextCertificateFile is the certificate for NextKeyFile, until both replace the current pair.
func NextCertificateFile(cluster, key string) string {
	return path.Join(TLSDir(cluster), key+".next.crt")
}

// PeerCAFile is the bundle of authorities for members' peer certificates.
func PeerCAFile(cluster string) string { return path.Join(TLSDir(cluster), "peer-ca.crt") }

// ClientCAFile is the bundle of authorities for client and server certificates.
func ClientCAFile(cluster string) string { return path.Join(TLSDir(cluster), "client-ca.crt") }

// ClientCRLFile is the list of revoked certificates of clients, DER: etcd reads nothing else, anew at each handshake,
// and lets no client in where it cannot.
func ClientCRLFile(cluster string) string { return path.Join(TLSDir(cluster), "client.crl") }

// CertificateMetricsFile says, for node_exporter's textfile collector, when a cluster's certificates expire. All may
// read it.
func CertificateMetricsFile(cluster string) string {
	return path.Join(MetricsDir, "etcd_certificates_"+cluster+".prom")
}

// MetricsDir is where a host writes what monitoring is told of its clusters' certificates.
const MetricsDir = "/var/lib/etcd-metrics"

// DefaultDataDir is the data directory of a cluster whose configuration names none.
func DefaultDataDir(cluster string) string { return path.Join("/var/lib/etcd", cluster) }

// AsidePrefix is the prefix of directories with data that was moved aside. They lie beside the data directory, after
// its name and a dot: /var/lib/etcd/main.aside-retired-TIME. If the data directory is a mount point, they lie in it,
// /data/aside-retired-TIME, and do not count as data.
const AsidePrefix = "aside-"

// SnapshotDir is where a member keeps the snapshots that are taken before changes: beside its data.
func SnapshotDir(dataDir string) string { return dataDir + ".snapshots" }

// RecoveryFile records a recovery that is under way on this host, with the copy of the data that it has made.
func RecoveryFile(cluster string) string { return path.Join(ConfigDir(cluster), "recovery.json") }

// ProgressFile records, outside of the data, how far the member's database had come when it last ended. A data
// directory that is older than that was rolled back.
func ProgressFile(cluster string) string { return path.Join(ConfigDir(cluster), "progress.json") }

// Unit is the name of the cluster's systemd unit.
func Unit(cluster string) string { return "etcd@" + cluster + ".service" }

// Units are the units that this release may write for a cluster on a host, whatever each is for.
func Units(cluster string) []string {
	units := []string{Unit(cluster), ReachUnit(cluster), FirewallUnit(cluster)}
	for _, name := range []string{BackupUnit(cluster), RehearsalUnit(cluster), RenewalUnit(cluster)} {
		units = append(units, name+".timer", name+".service")
	}
	return units
}

// UnitFile is the path of Unit.
func UnitFile(cluster string) string { return path.Join("/etc/systemd/system", Unit(cluster)) }

// GuardStatus is the exit status with which the store refuses to start a member: EX_CONFIG of sysexits.h, with which
// etcd itself never ends. systemd does not retry after it.
const GuardStatus = 78

// Overlap returns the member's own directory that dir is, lies in, or contains, or "". A member's directories are
// moved and deleted as a whole: its data, the state of its runs, its snapshots, and what was moved aside. Both paths
// are absolute and clean.
func Overlap(dir, dataDir string) string {
	for _, own := range []string{dataDir, BackupStateDir(dataDir), SnapshotDir(dataDir)} {
		if Within(dir, own) || Within(own, dir) {
			return own
		}
	}
	// A directory that contains one of these contains the data as well.
	if aside := dataDir + "." + AsidePrefix; strings.HasPrefix(dir, aside) {
		return aside + "*"
	}
	return ""
}

// Within tells whether path is dir or lies below it.
func Within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
