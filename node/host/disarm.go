package host

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Disarm gives back the space that the local member's database does not use, where that pays, and disarms the
// alarms that it has run out of it.
func (m *Machine) Disarm(ctx context.Context, cluster string, r api.DisarmRequest) error {
	return m.through(ctx, cluster, r.Owner, untilDone, func(ctx context.Context, member localMember) error {
		if r.Corrupt {
			return member.disarm(ctx, func(a *etcdserverpb.AlarmMember) bool { return a.Alarm == etcdserverpb.AlarmType_CORRUPT })
		}
		status := member.status
		if pays(status) {
			if err := m.mustHold(member.marker.DataDir, status.DbSizeInUse, "the copy of the database that a defragmentation makes"); err != nil {
				return err
			}
			// It serves nothing meanwhile, and copies its database.
			copying, stop := m.whileItGains(ctx, member.marker, stallTimeout)
			defer stop()
			if _, err := member.Defragment(copying, member.Endpoints()[0]); err != nil {
				return fmt.Errorf("defragment the local member: %w", err)
			}
			var err error
			asking, done := context.WithTimeout(ctx, stallTimeout)
			defer done()
			if status, err = member.Status(asking, member.Endpoints()[0]); err != nil {
				return fmt.Errorf("ask the local member for its status: %w", err)
			}
		}
		if !r.Alarms {
			return nil
		}
		if status.DbSizeQuota > 0 && status.DbSize >= status.DbSizeQuota {
			return refuse("disarm the alarm that member %s has no space: its database has %d bytes, and its quota is %d; delete keys and compact, or raise quota_backend_bytes", member.marker.Member, status.DbSize, status.DbSizeQuota)
		}
		return member.disarmSpace(ctx)
	})
}

// pays tells whether a defragmentation gives back a quarter of the database, or anything of one that is at
// its quota.
func pays(s *clientv3.StatusResponse) bool {
	unused := s.DbSize - s.DbSizeInUse
	return unused > s.DbSize/4 || unused > 0 && s.DbSizeQuota > 0 && s.DbSize >= s.DbSizeQuota
}

// disarmSpace disarms the alarms for space that are the local member's, or those of a member that is gone. Of
// others only they know whether their reason is gone.
func (l localMember) disarmSpace(ctx context.Context) error {
	asking, done := context.WithTimeout(ctx, stallTimeout)
	defer done()
	list, err := l.MemberList(asking)
	if err != nil {
		return fmt.Errorf("list the members: %w", err)
	}
	return l.disarm(ctx, func(a *etcdserverpb.AlarmMember) bool {
		others := slices.ContainsFunc(list.Members, func(m *etcdserverpb.Member) bool { return m.ID == a.MemberID && a.MemberID != l.id })
		return a.Alarm == etcdserverpb.AlarmType_NOSPACE && !others
	})
}

// disarm disarms those of the cluster's alarms that are meant.
func (l localMember) disarm(ctx context.Context, meant func(*etcdserverpb.AlarmMember) bool) error {
	raised, err := l.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("list the alarms: %w", err)
	}
	for _, alarm := range raised.Alarms {
		if !meant(alarm) {
			continue
		}
		if _, err := l.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: alarm.MemberID, Alarm: alarm.Alarm}); err != nil {
			return fmt.Errorf("disarm alarm %s of member %x: %w", alarm.Alarm, alarm.MemberID, err)
		}
	}
	return nil
}
