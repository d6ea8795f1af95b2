package upgrade

import (
	"context"
	"fmt"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// acquit compares the data of all healthy voters once more, and takes the alarm back that it differs.
func (r *changeRun) acquit(ctx context.Context) error {
	var members []membership.Member
	for _, s := range r.status.Healthy() {
		members = append(members, s.Member)
	}
	data := r.dataOf(ctx, r.reports, members, true)
	for _, m := range members {
		if data[m] == "" || data[m] != data[members[0]] {
			return fmt.Errorf("the data of the members is not seen to be the same: %s holds %q, and %s %q: the alarm stays; plan again", members[0], data[members[0]], m, data[m])
		}
	}
	return r.throughLeader(ctx, api.OpDisarm, api.DisarmRequest{Owner: r.order.Owner, Corrupt: true})
}
