package etcdclient

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// DisarmCorrupt disarms the CORRUPT alarms, by which etcd says that the data of members differs.
func (v Voter) DisarmCorrupt(ctx context.Context) error {
	return v.disarm(ctx, func(a *etcdserverpb.AlarmMember) bool { return a.Alarm == etcdserverpb.AlarmType_CORRUPT })
}

// DisarmSpace disarms the NOSPACE alarms of the local member, and of members that are gone. Whether another member
// still lacks space, only that member knows.
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

// disarm disarms the alarms of the cluster that meant selects.
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
