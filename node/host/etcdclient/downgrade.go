package etcdclient

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// SetDowngrade has etcd validate and enable a downgrade of the cluster to a minor version. If version is empty, it
// cancels the downgrade that is under way. etcd refuses to enable a downgrade twice, so SetDowngrade looks at the
// member's status first.
func (v Voter) SetDowngrade(ctx context.Context, version string) error {
	underWay := downgradeOf(v.State)
	switch underWay {
	case "":
		if version == "" {
			return nil
		}
	case version + ".0":
		return nil
	default:
		if version == "" {
			// etcd answers that it was cancelled also if members could not agree on that in time.
			return Repeat(ctx, "that no downgrade is under way", func() (bool, error) {
				_, err := v.Downgrade(ctx, clientv3.DowngradeCancel, "")
				if errors.Is(err, rpctypes.ErrNoInflightDowngrade) {
					err = nil
				}
				target, asked := v.downgradesTo(ctx)
				return asked == nil && target == "", errors.Join(err, asked)
			})
		}
		return api.Refuse("downgrade to %s: a downgrade to %s is under way; finish or cancel that first", version, underWay)
	}
	for _, action := range []clientv3.DowngradeAction{clientv3.DowngradeValidate, clientv3.DowngradeEnable} {
		asked := false
		if err := Retried(ctx, Overloaded, func() error {
			_, err := v.Downgrade(ctx, action, version)
			again := asked
			asked = true
			switch {
			case err == nil, again && errors.Is(err, rpctypes.ErrDowngradeInProcess):
				// The request before this one was carried out, though its answer came too late.
				return nil
			case errors.Is(err, rpctypes.ErrInvalidDowngradeTargetVersion):
				if target, asked := v.downgradesTo(ctx); again && asked == nil && target == version+".0" {
					return nil // likewise, and the members have agreed on the version since
				}
				return api.Refuse("downgrade to %s: etcd goes down by one minor version at a time: %s", version, err)
			}
			return fmt.Errorf("downgrade to %s: %w", version, err)
		}); err != nil {
			return err
		}
	}
	return nil
}

// downgradesTo returns the version that a downgrade under way leads to, or "", as the member says now.
func (v Voter) downgradesTo(ctx context.Context) (string, error) {
	status, err := v.Status(ctx, v.Endpoints()[0])
	if err != nil {
		return "", err
	}
	return downgradeOf(status), nil
}

func downgradeOf(status *clientv3.StatusResponse) string {
	if d := status.DowngradeInfo; d != nil && d.Enabled {
		return d.TargetVersion
	}
	return ""
}
