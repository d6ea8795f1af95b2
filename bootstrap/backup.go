package bootstrap

import (
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// BackedUp is the cluster with hosts that back it up so; nil: they do not. Without a digest the backup's secrets are not
// known here: then only whether a host makes backups is looked at.
func (c Cluster) BackedUp(by *api.Backup) Cluster {
	c.Backup, c.Backups = by, backupWords(by)
	return c
}

// NoBackups is said of a host that is to make backups, and was never told how.
const NoBackups = "it makes no backups yet"

// Unbacked says what is not as it is to be of how a host backs the cluster up; empty: nothing.
func (c Cluster) Unbacked(o *api.Observation) string {
	switch has := o.Backup; {
	case c.Backup == nil && has == nil:
		return ""
	case c.Backup == nil:
		return "it makes backups, which the configuration does not ask for"
	case has == nil:
		return NoBackups
	case has.Digest == "" || c.Backup.Digest != "" && has.Digest != c.Backup.Digest:
		return "it makes backups by other settings"
	case !has.Enabled:
		return "its backups are switched off: a timer does not run"
	}
	return ""
}

// backupWords are a backup in words, for steps. What cannot be told in words, such as another secret, shows in its digest.
func backupWords(b *api.Backup) string {
	if b == nil {
		return ""
	}
	var to []string
	if b.Directory != "" {
		to = append(to, "directory "+b.Directory)
	}
	if b.S3 != nil {
		to = append(to, fmt.Sprintf("bucket %s at %s", b.S3.Bucket, b.S3.Endpoint))
	}
	words := fmt.Sprintf("%s to %s", b.Schedule, strings.Join(to, " and "))
	if b.Rehearsal != nil {
		words += ", rehearsed " + b.Rehearsal.Schedule
	}
	if len(b.Digest) >= shortDigest {
		words += fmt.Sprintf(" (settings %s)", b.Digest[:shortDigest])
	}
	return words
}

// shortDigest is as much of a digest as tells one from the one before.
const shortDigest = 8
