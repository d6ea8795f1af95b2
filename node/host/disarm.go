package host

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/pace"
)

// Disarm returns unused space of the local member's database to the file system, if that is worth it, and disarms the
// alarms that the database is full.
func (m *Machine) Disarm(ctx context.Context, cluster string, r api.DisarmRequest) error {
	return m.through(ctx, cluster, r.Owner, untilDone, func(ctx context.Context, member etcdclient.Voter) error {
		if r.Corrupt {
			return member.DisarmCorrupt(ctx)
		}
		status := member.State
		if pays(status) {
			if err := m.disks().MustHold(member.Marker.DataDir, status.DbSizeInUse, "the copy of the database that a defragmentation makes"); err != nil {
				return err
			}
			// The member serves nothing meanwhile, and copies its database.
			copying, stop := m.paces().WhileItGains(ctx, member.Marker, pace.StallTimeout)
			defer stop()
			if _, err := member.Defragment(copying, member.Endpoints()[0]); err != nil {
				return fmt.Errorf("defragment the local member: %w", err)
			}
			var err error
			asking, done := context.WithTimeout(ctx, pace.StallTimeout)
			defer done()
			if status, err = member.Status(asking, member.Endpoints()[0]); err != nil {
				return fmt.Errorf("ask the local member for its status: %w", err)
			}
		}
		if !r.Alarms {
			return nil
		}
		if status.DbSizeQuota > 0 && status.DbSize >= status.DbSizeQuota {
			return refuse("disarm the alarm that member %s has no space: its database has %d bytes, and its quota is %d; delete keys and compact, or raise quota_backend_bytes", member.Marker.Member, status.DbSize, status.DbSizeQuota)
		}
		asking, done := context.WithTimeout(ctx, pace.StallTimeout)
		defer done()
		return member.DisarmSpace(asking)
	})
}

// pays tells whether a defragmentation frees a quarter of the database, or anything at all of a database that has
// reached its quota.
func pays(s *clientv3.StatusResponse) bool {
	unused := s.DbSize - s.DbSizeInUse
	return unused > s.DbSize/4 || unused > 0 && s.DbSizeQuota > 0 && s.DbSize >= s.DbSizeQuota
}
