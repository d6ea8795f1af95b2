// Package arrivals brings snapshots onto a host: from the provider, from a path of the host, from S3 or from a backup.
// If a transfer is cut short, what has arrived stays, and the next call resumes it.
package arrivals

import (
	"context"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
)

// Host is a host that snapshots are brought to.
type Host struct {
	Files     files.Tree
	Records   records.Records
	Snapshots snapshots.Host // says whether the host can start etcd from a snapshot
	Backups   Backups
	Now       func() time.Time
	Hangs     time.Duration // how long a call to a file system may take without any progress
}

// Backups are the backups that this host can open.
type Backups interface {
	// Open opens the owner's backup with this name (api.LatestBackup is the newest one): in the given bucket, or, if in
	// is nil, wherever this host stores its own.
	Open(ctx context.Context, cluster, owner, name string, in *api.S3) (*snapshots.Source, error)
}

func (h Host) proc() procfs.FS { return procfs.FS{Root: h.Files.Root} }

func (h Host) disks() disks.Disks { return disks.Disks{Files: h.Files} }
