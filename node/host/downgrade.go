package host

import (
	"context"
	"regexp"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
)

// downgradeTimeout bounds a request to the members about a downgrade, which they agree on through the log.
const downgradeTimeout = 30 * time.Second

// minorVersion matches a version as etcd's downgrade takes it.
var minorVersion = regexp.MustCompile(`^3\.\d+$`)

// Downgrade has etcd validate and enable a downgrade of the cluster, or cancels one. etcd returns an error if it is
// asked to enable a downgrade that is already under way, so Downgrade asks the member first.
func (m *Machine) Downgrade(ctx context.Context, cluster string, r api.DowngradeRequest) error {
	if r.Version != "" && !minorVersion.MatchString(r.Version) {
		return refuse("%q is no minor version to downgrade to: give one like 3.6", r.Version)
	}
	return m.through(ctx, cluster, r.Owner, downgradeTimeout, func(ctx context.Context, member etcdclient.Voter) error {
		return member.SetDowngrade(ctx, r.Version)
	})
}
