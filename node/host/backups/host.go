// Package backups backs a host's clusters up by timers of systemd, applies retention at the destinations, and rehearses
// restores. One of a cluster's members does each run, for all.
package backups

import (
	"context"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/disks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/procfs"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/snapshots"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/unitfiles"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/units"
)

// Host is a host that backs its clusters up.
type Host struct {
	Files     files.Tree
	Records   records.Records
	Snapshots snapshots.Host
	Units     Units
	Run       units.Runner // for schedules and journals
	Now       func() time.Time

	EtcdVersion string   // of the store that this is: 3.7.3
	Binary      string   // path of the binary that this is, which a rehearsal runs as etcd
	Environment []string // of what a rehearsal runs
	// Stalls is for how long a destination may take no byte of a backup; the other bounds of stalls are in proportion.
	// 0 means storeStall.
	Stalls time.Duration
	Hangs  time.Duration // for how long a call to a directory of backups may come to nothing; 0: hangPatience
}

// Units controls the units that back a cluster up, and those that mount its destinations.
type Units interface {
	unitfiles.Systemd
	Run(ctx context.Context, unit string) error
}

func (h Host) unitFiles() unitfiles.Units { return unitfiles.Units{Files: h.Files, Systemd: h.Units} }

func (h Host) disks() disks.Disks { return disks.Disks{Files: h.Files} }

func (h Host) proc() procfs.FS { return procfs.FS{Root: h.Files.Root} }

// calendar reads schedules as the host does.
func (h Host) calendar() units.Calendar { return units.Calendar{Run: h.Run} }

// journal is the host's journal.
func (h Host) journal() units.Journal { return units.Journal{Run: h.Run} }

// local is the local member that a marker tells of.
func (h Host) local(marker api.Marker) etcdclient.Local {
	return etcdclient.Local{Root: h.Files.Root, Marker: marker}
}

// asVoter has the local member do what only a voter does, without a deadline.
func (h Host) asVoter(ctx context.Context, marker api.Marker, do func(context.Context, etcdclient.Voter) error) error {
	owned, err := h.Records.Owned(marker.Cluster, marker.Owner)
	if err != nil {
		return err
	}
	return h.local(*owned).AsVoter(ctx, do)
}
