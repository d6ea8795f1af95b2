// Package renewal renews the certificates of a host's members by a timer of systemd, where a signing server can be
// asked: a cluster whose configuration nobody applies does not end with its certificates.
package renewal

import (
	"context"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// Host is a host that renews its members' certificates.
type Host struct {
	Files      files.Tree
	Records    records.Records
	Keys       keys.Keys
	Locks      locks.Host
	Units      Units
	Now        func() time.Time
	SystemUser func() (files.Owner, error)
	Member     func(api.Marker) Member
	Flags      func(cluster string) ([]string, error) // that the member runs by
	Patience   time.Duration                          // for how long a member may take to serve a new certificate; 0: servesWithin
}

// Units are those of systemd's units that renew certificates.
type Units interface {
	State(ctx context.Context, unit string) (api.UnitState, error)
	Reload(ctx context.Context) error
	Start(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
	Disable(ctx context.Context, unit string) error
}

// Member is the member on this host.
type Member interface {
	Served(ctx context.Context, flags []string) map[string]api.Served
	Look(ctx context.Context) api.Member
}
