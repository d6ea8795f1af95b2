package bootstrap

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// BackedUp is the cluster with hosts that back it up so; nil: they do not. Without a digest the backup's secrets are not
// known here: then only whether a host makes backups is looked at.
func (c Cluster) BackedUp(by *api.Backup) Cluster {
	c.Backup, c.Backups = by, backupWords(by)
	return c
}

// NoBackups is said of a host that is to make backups, and was never told how.
const NoBackups = "it makes no backups yet"

// OtherRuns is said of a host that makes backups by the right settings, and by other units than its store would write.
const OtherRuns = "the units of its backups are not as this version of the provider writes them"

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
	case c.oldRuns(o) && c.versionOf(o.Store.Selected) != "":
		return OtherRuns
	}
	return ""
}

// oldRuns tells whether a host makes backups as it is to, but by other units than are desired. A store that this build of the
// provider does not carry writes its own: until the member has another one, they are right.
func (c Cluster) oldRuns(o *api.Observation) bool {
	has := o.Backup
	if c.Backup == nil || has == nil || c.Backup.Digest != "" && has.Digest != c.Backup.Digest {
		return false // it is told how anyway
	}
	units, err := systemd.RenderRuns(systemd.RunOptions{
		Cluster: c.Name, Store: api.SelectedStore(c.Name), StateDir: api.BackupStateDir(c.DataDir),
		Schedule: c.Backup.Schedule, Rehearsals: c.Backup.Rehearsals(), Writable: c.Backup.Writable(), MemoryBytes: o.Facts.MemoryBytes,
	})
	return err == nil && systemd.Digest(units) != has.Units // what cannot be rendered is not known, or the plan refuses it
}

// backupWords are a backup in words, for steps. What cannot be told in words, such as what is kept, shows in a digest. Secrets
// do not: one that is ephemeral may differ between a plan and its apply, which have to have the same steps.
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
	switch n := len(b.Recipients); n {
	case 0:
		words += ", in the clear"
	case 1:
		words += ", encrypted to 1 recipient"
	default:
		words += fmt.Sprintf(", encrypted to %d recipients", n)
	}
	if b.Rehearsal != nil {
		words += ", rehearsed " + b.Rehearsal.Schedule
	}
	if b.Digest != "" {
		words += fmt.Sprintf(" (settings %s)", openDigest(*b)[:8])
	}
	return words
}

// openDigest tells one configuration of backups from another, but for its secrets.
func openDigest(b api.Backup) string {
	b.Digest = ""
	if b.S3 != nil {
		open := *b.S3
		open.AccessKeyID, open.SecretAccessKey = "", secret.Text{}
		b.S3 = &open
	}
	if b.Rehearsal != nil {
		open := *b.Rehearsal
		open.Identity = secret.Text{}
		b.Rehearsal = &open
	}
	text, _ := json.Marshal(b) // of plain values it does not fail
	return digest(string(text))
}
