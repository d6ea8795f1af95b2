// Package arrivals brings snapshots onto a host from wherever they are: sent by the provider, from a path, from S3 or
// from a backup. What has come stays where the rest does not, and is gone on with.
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

// Host is where snapshots are brought.
type Host struct {
	Files     files.Tree
	Records   records.Records
	Snapshots snapshots.Host // says whether the host can start etcd from one
	Backups   Backups
	Now       func() time.Time
	Hangs     time.Duration // for how long a call to a file system may come to nothing
}

// Backups are those that this host knows of.
type Backups interface {
	// Open opens an owner's backup by its name, or the newest one: in a bucket, or wherever this host stores its own.
	Open(ctx context.Context, cluster, owner, name string, in *api.S3) (*snapshots.Source, error)
}

func (h Host) proc() procfs.FS { return procfs.FS{Root: h.Files.Root} }

func (h Host) disks() disks.Disks { return disks.Disks{Files: h.Files} }
