package host

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// downgradeTimeout bounds a question to the members about a downgrade. They agree on it through the log.
const downgradeTimeout = 30 * time.Second

// versionLine is a version as etcd's downgrade takes it.
var versionLine = regexp.MustCompile(`^3\.\d+$`)

// Downgrade has etcd validate and enable a downgrade of the cluster, or cancels one. To enable one that is
// under way is an error of etcd's, so the member is asked first.
func (m *Machine) Downgrade(ctx context.Context, cluster string, r api.DowngradeRequest) error {
	if r.Version != "" && !versionLine.MatchString(r.Version) {
		return refuse("%q is no line of versions to go down to: give one like 3.6", r.Version)
	}
	return m.through(ctx, cluster, r.Owner, downgradeTimeout, func(ctx context.Context, member localMember) error {
		underWay := ""
		if d := member.status.DowngradeInfo; d != nil && d.Enabled {
			underWay = d.TargetVersion
		}
		switch underWay {
		case "":
			if r.Version == "" {
				return nil
			}
		case r.Version + ".0":
			return nil
		default:
			if r.Version == "" {
				_, err := member.Downgrade(ctx, clientv3.DowngradeCancel, "")
				if err != nil && !errors.Is(err, rpctypes.ErrNoInflightDowngrade) {
					return fmt.Errorf("cancel the downgrade to %s: %w", underWay, err)
				}
				return nil
			}
			return refuse("downgrade to %s: a downgrade to %s is under way; finish or cancel that first", r.Version, underWay)
		}
		for _, action := range []clientv3.DowngradeAction{clientv3.DowngradeValidate, clientv3.DowngradeEnable} {
			_, err := member.Downgrade(ctx, action, r.Version)
			if errors.Is(err, rpctypes.ErrInvalidDowngradeTargetVersion) {
				return refuse("downgrade to %s: etcd goes down by one minor version at a time: %s", r.Version, err)
			}
			if err != nil {
				return fmt.Errorf("downgrade to %s: %w", r.Version, err)
			}
		}
		return nil
	})
}
