// Package renewal lets a host renew its members' certificates by a timer of systemd, if it can ask a signing server. A
// cluster whose configuration nobody applies does not end with its certificates then.
package renewal

import (
	"context"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/unitfiles"
)

// Host is a host that renews its members' certificates.
type Host struct {
	Files      files.Tree
	Records    records.Records
	Keys       keys.Keys
	Locks      locks.Host
	Units      unitfiles.Systemd
	Now        func() time.Time
	SystemUser func() (files.Owner, error)
	Member     func(api.Marker) Member
	Flags      func(cluster string) ([]string, error) // the member's flags
	// How long a member may take to serve a new certificate; 0: servesWithin.
	Patience time.Duration
}

func (h Host) unitFiles() unitfiles.Units { return unitfiles.Units{Files: h.Files, Systemd: h.Units} }

// Member is the member on this host.
type Member interface {
	Served(ctx context.Context, flags []string) map[string]api.Served
	Look(ctx context.Context) api.Member
}
