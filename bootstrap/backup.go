package bootstrap

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/templates/systemd"
)

// BackedUp returns the cluster with these backups; nil means none. A backup without a digest has unknown secrets: then
// only whether a host makes backups is compared.
func (c Cluster) BackedUp(by *api.Backup) Cluster {
	c.Backup, c.Backups = by, describeBackup(by)
	return c
}

// NoBackups says that a host is to make backups and was never configured to.
const NoBackups = "it makes no backups yet"

// OtherRuns says that a host makes backups by the right settings, but with other units than its store would write.
const OtherRuns = "the units of its backups are not as this version of the provider writes them"

// Unbacked returns how a host's backups differ from what is desired, or "".
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
	case has.NeedReload:
		return "systemd has not read the units of its backups since they were changed"
	case c.hasOldUnits(o) && c.versionOf(o.Store.Selected) != "":
		return OtherRuns
	}
	return ""
}

// hasOldUnits tells whether a host's backup settings are right but its units differ from the desired ones. A store
// that this build of the provider does not carry writes its own units, which are right until the member gets another
// store.
func (c Cluster) hasOldUnits(o *api.Observation) bool {
	has := o.Backup
	if c.Backup == nil || has == nil || c.Backup.Digest != "" && has.Digest != c.Backup.Digest {
		return false // its backups are configured anew anyway
	}
	units, err := systemd.RenderRuns(systemd.RunOptions{
		Cluster: c.Name, Store: api.SelectedStore(c.Name), StateDir: api.BackupStateDir(c.DataDir),
		Schedule: c.Backup.Schedule, Rehearsals: c.Backup.Rehearsals(), Writable: c.Backup.Writable(), Hidden: api.RenewalFile(c.Name), MemoryBytes: o.Facts.MemoryBytes,
	})
	return err == nil && systemd.Digest(units) != has.Units // the plan refuses what cannot be rendered
}

// describeBackup describes a backup for steps. What it leaves out, such as retention, shows in a digest. Secrets do
// not: an ephemeral secret may differ between a plan and its apply, which must have the same steps.
func describeBackup(b *api.Backup) string {
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

// openDigest returns a digest of a backup's configuration without its secrets.
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
	text, _ := json.Marshal(b) // plain values always encode
	return digest(string(text))
}
