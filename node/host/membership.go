package host

import (
	"context"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
)

// AddLearner adds a learner, and records that in the marker first: if the run is interrupted between the two, the
// record says that the learner is the run's own to remove.
func (m *Machine) AddLearner(ctx context.Context, cluster string, r api.AddLearnerRequest) (added api.AddedLearner, err error) {
	if r.PeerURL == "" {
		return added, refuse("no peer URL was given for the learner to add")
	}
	if err := api.CheckTimeout(r.Timeout); err != nil {
		return added, err
	}
	err = m.through(ctx, cluster, r.Owner, r.Timeout, func(ctx context.Context, member etcdclient.Voter) error {
		added, err = member.AddLearner(ctx, r.PeerURL, func() error {
			if err := m.endRecoveryIfAlone(ctx, member.Marker); err != nil {
				return err
			}
			return m.recordAdded(member.Marker, r.PeerURL)
		})
		return err
	})
	return added, err
}

// recordAdded records in the marker that a learner is about to be added through this member.
func (m *Machine) recordAdded(marker api.Marker, peerURL string) error {
	if slices.Contains(marker.Added, peerURL) {
		return nil
	}
	marker.Added = append(slices.Clone(marker.Added), peerURL)
	return m.records().RewriteMarker(marker)
}

// RemoveMember removes a member, and waits until the local list no longer has it.
func (m *Machine) RemoveMember(ctx context.Context, cluster string, r api.RemoveMemberRequest) error {
	return m.throughAbout(ctx, cluster, r.Owner, r.ID, r.Timeout, func(ctx context.Context, member etcdclient.Voter, id uint64) error {
		return member.Remove(ctx, id)
	})
}

// UpdateMember gives a voter another peer URL, and waits until the local list has it.
func (m *Machine) UpdateMember(ctx context.Context, cluster string, r api.UpdateMemberRequest) error {
	if r.PeerURL == "" {
		return refuse("no peer URL was given for member %s", r.ID)
	}
	return m.throughAbout(ctx, cluster, r.Owner, r.ID, r.Timeout, func(ctx context.Context, member etcdclient.Voter, id uint64) error {
		return member.Update(ctx, id, r.PeerURL)
	})
}

// Promote promotes a learner, and waits until the local list has it as a voter.
func (m *Machine) Promote(ctx context.Context, cluster string, r api.PromoteRequest) error {
	return m.throughAbout(ctx, cluster, r.Owner, r.ID, r.Timeout, func(ctx context.Context, member etcdclient.Voter, id uint64) error {
		return member.Promote(ctx, id)
	})
}

// MoveLeader moves the leadership from the local member, if it leads, to another voter, and waits until that voter
// leads.
func (m *Machine) MoveLeader(ctx context.Context, cluster string, r api.MoveLeaderRequest) error {
	return m.throughAbout(ctx, cluster, r.Owner, r.To, etcdclient.LeaderTimeout, func(ctx context.Context, member etcdclient.Voter, to uint64) error {
		return member.HandOver(ctx, to)
	})
}

// untilDone sets no deadline: the operation takes as long as it takes, and checks its own progress.
const untilDone time.Duration = 0

// through makes a request to the local member that only a voter answers.
func (m *Machine) through(ctx context.Context, cluster, owner string, timeout time.Duration, do func(context.Context, etcdclient.Voter) error) error {
	marker, err := m.records().Owned(cluster, owner)
	if err != nil {
		return err
	}
	if timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = limited
	}
	return m.local(*marker).AsVoter(ctx, do)
}

// throughAbout makes a request to the local member, within a limited time, about the member with the given ID.
func (m *Machine) throughAbout(ctx context.Context, cluster, owner, id string, timeout time.Duration, do func(context.Context, etcdclient.Voter, uint64) error) error {
	about, err := api.ParseID(id)
	if err != nil {
		return err
	}
	if err := api.CheckTimeout(timeout); err != nil {
		return err
	}
	return m.through(ctx, cluster, owner, timeout, func(ctx context.Context, member etcdclient.Voter) error { return do(ctx, member, about) })
}

// local returns the local member that a marker names.
func (m *Machine) local(marker api.Marker) etcdclient.Local {
	return etcdclient.Local{Root: m.Root, Marker: marker}
}
