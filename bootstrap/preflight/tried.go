package preflight

import (
	"fmt"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// IDs of findings that take several hosts, or a store on them, to be found.
const (
	FsyncLatency    = "fsync_latency"
	PeerUnreachable = "peer_unreachable"
	NameResolution  = "name_resolution"
	SharedHostKey   = "shared_host_key"
)

// FsyncP99 is the longest that 99 of 100 appends of etcd may take: etcd's FAQ wants wal_fsync_duration_seconds below
// 10 ms, and its hardware guide measures disks by that.
const FsyncP99 = 10 * time.Millisecond

// tried are the kinds of those findings.
var tried = []check{
	{id: PeerUnreachable, severity: Error, remedy: "let members' hosts reach each other at the peer port, in both directions (firewall, security group, routes)"},
	{id: NameResolution, severity: Error, remedy: "have a name lead to the same addresses on all members' hosts (/etc/hosts, /etc/resolv.conf, the name server), or give members IP addresses"},
	{id: FsyncLatency, severity: Warning, remedy: "take a faster disk, an SSD that nothing else writes to, or raise preflight.max_fsync_p99"},
	{id: SharedHostKey, severity: Warning, remedy: "make new keys on all but one (rm /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub; ssh-keygen -A; restart ssh.service, or sshd.service), have them certified again where ssh.host_ca is set, and change host_key where the configuration pins it"},
}

// Found returns a finding of one of those kinds.
func Found(id, format string, args ...any) Finding {
	i := slices.IndexFunc(tried, func(c check) bool { return c.id == id })
	return Finding{id, tried[i].severity, fmt.Sprintf(format, args...), tried[i].remedy}
}

// Slow returns what speaks against a disk by how long appends to it took. limit is the longest p99 that the user
// accepts: a longer one is an error. 0 means that the user has not said: then FsyncP99 counts, and a longer one is a
// warning.
func Slow(dir string, appends api.Appends, limit time.Duration) (found []Finding) {
	wanted, severity := limit, Error
	if limit == 0 {
		wanted, severity = FsyncP99, Warning
	}
	if appends.P99 <= wanted {
		return nil
	}
	f := Found(FsyncLatency, "%s, and a p99 of at most %s is wanted", Took(dir, appends), wanted)
	f.Severity = severity
	return []Finding{f}
}

// Took describes how long appends took.
func Took(dir string, a api.Appends) string {
	return fmt.Sprintf("appends to the disk of %s take %s (p50), %s (p99) and %s (the longest of %d) until they are synced", dir, rounded(a.P50), rounded(a.P99), rounded(a.Max), a.Count)
}

// rounded returns a duration with three digits or so.
func rounded(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > 10*time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
