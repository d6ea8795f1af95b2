package etcdclient

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// DisarmCorrupt disarms the alarms that the data of members differ.
func (v Voter) DisarmCorrupt(ctx context.Context) error {
	return v.disarm(ctx, func(a *etcdserverpb.AlarmMember) bool { return a.Alarm == etcdserverpb.AlarmType_CORRUPT })
}

// DisarmSpace disarms the alarms for space that are the local member's, or those of a member that is gone. Of
// others only they know whether their reason is gone.
func (v Voter) DisarmSpace(ctx context.Context) error {
	list, err := v.MemberList(ctx)
	if err != nil {
		return fmt.Errorf("list the members: %w", err)
	}
	return v.disarm(ctx, func(a *etcdserverpb.AlarmMember) bool {
		others := slices.ContainsFunc(list.Members, func(m *etcdserverpb.Member) bool { return m.ID == a.MemberID && a.MemberID != v.ID })
		return a.Alarm == etcdserverpb.AlarmType_NOSPACE && !others
	})
}

// disarm disarms those of the cluster's alarms that are meant.
func (v Voter) disarm(ctx context.Context, meant func(*etcdserverpb.AlarmMember) bool) error {
	raised, err := v.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("list the alarms: %w", err)
	}
	for _, alarm := range raised.Alarms {
		if !meant(alarm) {
			continue
		}
		if _, err := v.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: alarm.MemberID, Alarm: alarm.Alarm}); err != nil {
			return fmt.Errorf("disarm alarm %s of member %x: %w", alarm.Alarm, alarm.MemberID, err)
		}
	}
	return nil
}
