package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

const (
	// membershipPoll is how often a change of membership that etcd does not take yet is tried again, and
	// the list is asked whether a change is in it.
	membershipPoll = 200 * time.Millisecond
	// leaderTimeout bounds a move of the leadership, which takes milliseconds where the other voter has
	// caught up.
	leaderTimeout = 20 * time.Second
)

// AddLearner adds a learner, of which the marker tells first: a run that is cut short between the two
// leaves word of what is its own to clean up.
func (m *Machine) AddLearner(ctx context.Context, cluster string, r api.AddLearnerRequest) (api.AddedLearner, error) {
	if r.PeerURL == "" {
		return api.AddedLearner{}, refuse("no peer URL was given for the learner to add")
	}
	if err := api.CheckTimeout(r.Timeout); err != nil {
		return api.AddedLearner{}, err
	}
	var added api.AddedLearner
	err := m.through(ctx, cluster, r.Owner, r.Timeout, func(ctx context.Context, member localMember) error {
		list, err := member.MemberList(ctx)
		if err != nil {
			return fmt.Errorf("list the members: %w", err)
		}
		members := listed(list.Members)
		at := slices.IndexFunc(members, func(l api.ListedMember) bool { return slices.Contains(l.PeerURLs, r.PeerURL) })
		if at >= 0 && !members[at].Learner {
			return refuse("add learner %s: voter %s (%s) has this peer URL; remove it first", r.PeerURL, members[at].Name, members[at].ID)
		}
		if err := m.recordAdded(member.marker, r.PeerURL); err != nil {
			return err
		}
		if at >= 0 {
			added = api.AddedLearner{ID: members[at].ID, Members: members}
			return nil
		}
		// The peer URL of a member that was just removed is "member not found" for a second.
		return retried(ctx, []error{rpctypes.ErrUnhealthy, rpctypes.ErrMemberNotFound}, func() error {
			response, err := member.MemberAddAsLearner(ctx, []string{r.PeerURL})
			if errors.Is(err, rpctypes.ErrTooManyLearners) {
				return refuse("add learner %s: the cluster has a learner already, and takes one at a time; promote or remove that first", r.PeerURL)
			}
			if err != nil {
				return fmt.Errorf("add learner %s: %w", r.PeerURL, err)
			}
			added = api.AddedLearner{ID: api.FormatID(response.Member.ID), Members: listed(response.Members)}
			return nil
		})
	})
	return added, err
}

// recordAdded records in the marker that a learner is about to be added through this member.
func (m *Machine) recordAdded(marker api.Marker, peerURL string) error {
	if slices.Contains(marker.Added, peerURL) {
		return nil
	}
	marker.Added = append(slices.Clone(marker.Added), peerURL)
	return m.rewriteMarker(marker)
}

// RemoveMember removes a member, and waits until the local list has it no more.
func (m *Machine) RemoveMember(ctx context.Context, cluster string, r api.RemoveMemberRequest) error {
	id, err := api.ParseID(r.ID)
	if err != nil {
		return err
	}
	if err := api.CheckTimeout(r.Timeout); err != nil {
		return err
	}
	return m.through(ctx, cluster, r.Owner, r.Timeout, func(ctx context.Context, member localMember) error {
		if id == member.id {
			return refuse("remove member %s: it is the one that was asked; ask another voter, since a member that removes itself may not live to tell", r.ID)
		}
		err := retried(ctx, []error{rpctypes.ErrUnhealthy}, func() error {
			_, err := member.MemberRemove(ctx, id)
			if errors.Is(err, rpctypes.ErrMemberNotFound) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("remove member %s: %w", r.ID, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return member.untilListed(ctx, "that member "+r.ID+" is gone", func(list []api.ListedMember) bool {
			return !slices.ContainsFunc(list, func(l api.ListedMember) bool { return l.ID == r.ID })
		})
	})
}

// UpdateMember gives a voter another peer URL, and waits until the local list has it.
func (m *Machine) UpdateMember(ctx context.Context, cluster string, r api.UpdateMemberRequest) error {
	id, err := api.ParseID(r.ID)
	if err != nil {
		return err
	}
	if r.PeerURL == "" {
		return refuse("no peer URL was given for member %s", r.ID)
	}
	if err := api.CheckTimeout(r.Timeout); err != nil {
		return err
	}
	return m.through(ctx, cluster, r.Owner, r.Timeout, func(ctx context.Context, member localMember) error {
		list, err := member.MemberList(ctx)
		if err != nil {
			return fmt.Errorf("list the members: %w", err)
		}
		members := listed(list.Members)
		at := slices.IndexFunc(members, func(l api.ListedMember) bool { return l.ID == r.ID })
		switch {
		case at < 0:
			return refuse("update member %s: it is not in the list", r.ID)
		case members[at].Learner:
			return refuse("update member %s: it is a learner, to which some versions of etcd would give a vote by this; remove it, and add it anew", r.ID)
		case slices.Equal(members[at].PeerURLs, []string{r.PeerURL}):
			return nil
		}
		if _, err := member.MemberUpdate(ctx, id, []string{r.PeerURL}); err != nil {
			return fmt.Errorf("update member %s: %w", r.ID, err)
		}
		return member.untilListed(ctx, "that member "+r.ID+" is at "+r.PeerURL, func(list []api.ListedMember) bool {
			return slices.ContainsFunc(list, func(l api.ListedMember) bool { return l.ID == r.ID && slices.Equal(l.PeerURLs, []string{r.PeerURL}) })
		})
	})
}

// Promote promotes a learner, and waits until the local list has it as a voter.
func (m *Machine) Promote(ctx context.Context, cluster string, r api.PromoteRequest) error {
	id, err := api.ParseID(r.ID)
	if err != nil {
		return err
	}
	if err := api.CheckTimeout(r.Timeout); err != nil {
		return err
	}
	return m.through(ctx, cluster, r.Owner, r.Timeout, func(ctx context.Context, member localMember) error {
		err := retried(ctx, []error{rpctypes.ErrUnhealthy}, func() error {
			_, err := member.MemberPromote(ctx, id)
			switch {
			case err == nil, errors.Is(err, rpctypes.ErrMemberNotLearner):
				return nil // the latter: it votes already
			case errors.Is(err, rpctypes.ErrMemberLearnerNotReady):
				return refuse("promote member %s: it has not caught up with the leader: %s", r.ID, err)
			}
			return fmt.Errorf("promote member %s: %w", r.ID, err)
		})
		if err != nil {
			return err
		}
		return member.untilListed(ctx, "that member "+r.ID+" votes", func(list []api.ListedMember) bool {
			return slices.ContainsFunc(list, func(l api.ListedMember) bool { return l.ID == r.ID && !l.Learner })
		})
	})
}

// MoveLeader moves the leadership from the local member, where it leads, to another voter, and waits until
// it is there.
func (m *Machine) MoveLeader(ctx context.Context, cluster string, r api.MoveLeaderRequest) error {
	to, err := api.ParseID(r.To)
	if err != nil {
		return err
	}
	return m.through(ctx, cluster, r.Owner, leaderTimeout, func(ctx context.Context, member localMember) error {
		list, err := member.MemberList(ctx, clientv3.WithSerializable())
		if err != nil {
			return fmt.Errorf("list the members: %w", err)
		}
		voter := slices.ContainsFunc(listed(list.Members), func(l api.ListedMember) bool { return l.ID == r.To && !l.Learner })
		if !voter {
			return refuse("move the leadership to member %s: it is no voter of this cluster", r.To)
		}
		if member.leader != member.id || to == member.id {
			return nil
		}
		if _, err := member.MoveLeader(ctx, to); err != nil && !errors.Is(err, rpctypes.ErrNotLeader) {
			return fmt.Errorf("move the leadership to member %s: %w", r.To, err)
		}
		return repeat(ctx, "that another member leads", func() (bool, error) {
			status, err := member.Status(ctx, member.Endpoints()[0])
			return err == nil && status.Leader != 0 && status.Leader != member.id, err
		})
	})
}

// localMember is the local member as a change of the cluster is asked of it.
type localMember struct {
	*clientv3.Client
	machine    *Machine
	marker     api.Marker
	id, leader uint64
	status     *clientv3.StatusResponse
}

// untilDone bounds nothing: what is done takes its time, and looks to itself for whether it comes further.
const untilDone time.Duration = 0

// through asks the local member for something, with the whole of the cluster's healthy voters behind it:
// a learner, which answers next to nothing, is refused.
func (m *Machine) through(ctx context.Context, cluster, owner string, timeout time.Duration, do func(context.Context, localMember) error) error {
	marker, err := m.owned(cluster, owner)
	if err != nil {
		return err
	}
	if timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		ctx = limited
	}
	client, err := m.dial(ctx, *marker)
	if err != nil {
		return err
	}
	defer client.Close()
	asking, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()
	status, err := client.Status(asking, client.Endpoints()[0])
	if err != nil {
		return fmt.Errorf("ask the local member for its status: %w", err)
	}
	if status.IsLearner {
		return refuse("member %s is a learner, through which nothing of the cluster can be changed or saved: ask a voter", marker.Member)
	}
	return do(ctx, localMember{client, m, *marker, status.Header.MemberId, status.Leader, status})
}

// untilListed waits until the local member's own list is as desired.
func (l localMember) untilListed(ctx context.Context, what string, desired func([]api.ListedMember) bool) error {
	return repeat(ctx, what, func() (bool, error) {
		list, err := l.MemberList(ctx, clientv3.WithSerializable())
		return err == nil && desired(listed(list.Members)), err
	})
}

// retried does what etcd refuses for a while only, for as long as it refuses it for one of these reasons.
func retried(ctx context.Context, passing []error, do func() error) error {
	for {
		err := do()
		if !slices.ContainsFunc(passing, func(reason error) bool { return errors.Is(err, reason) }) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, until the time for it was over", err)
		case <-time.After(membershipPoll):
		}
	}
}

// repeat looks until something is the case. A look that fails is repeated too, and told of at the end.
func repeat(ctx context.Context, what string, look func() (bool, error)) error {
	for {
		done, err := look()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for the local member to say %s: %w", what, errors.Join(ctx.Err(), err))
		case <-time.After(membershipPoll):
		}
	}
}
