package host

import (
	"context"
	"regexp"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
)

// downgradeTimeout bounds a question to the members about a downgrade. They agree on it through the log.
const downgradeTimeout = 30 * time.Second

// minorVersion is a version as etcd's downgrade takes it.
var minorVersion = regexp.MustCompile(`^3\.\d+$`)

// Downgrade has etcd validate and enable a downgrade of the cluster, or cancels one. To enable one that is
// under way is an error of etcd's, so the member is asked first.
func (m *Machine) Downgrade(ctx context.Context, cluster string, r api.DowngradeRequest) error {
	if r.Version != "" && !minorVersion.MatchString(r.Version) {
		return refuse("%q is no minor version to downgrade to: give one like 3.6", r.Version)
	}
	return m.through(ctx, cluster, r.Owner, downgradeTimeout, func(ctx context.Context, member etcdclient.Voter) error {
		return member.GoDown(ctx, r.Version)
	})
}
