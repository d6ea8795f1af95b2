package etcdclient

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// inPassing are the errors of changes that are made again: etcd refuses them for a short while, or members could not
// agree in time. A change may have been made all the same, so each is one that can be asked for twice.
func inPassing(more ...error) []error {
	return slices.Concat([]error{rpctypes.ErrUnhealthy}, Overloaded, more)
}

// members returns the list of members that all voters agree on.
func (v Voter) members(ctx context.Context) ([]api.ListedMember, error) {
	list, err := v.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the members: %w", err)
	}
	return Listed(list.Members), nil
}

// AddLearner adds a learner with this peer URL, unless the learner is in the list already. It calls announce before it
// changes the list.
func (v Voter) AddLearner(ctx context.Context, peerURL string, announce func() error) (added api.AddedLearner, err error) {
	// For a second after a member was removed, etcd answers "member not found" for its peer URL. One that exists, and
	// that the list lacks, is that of a request before, which was carried out in between.
	err = Retried(ctx, inPassing(rpctypes.ErrMemberNotFound, rpctypes.ErrPeerURLExist), func() error {
		members, err := v.members(ctx)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(members, func(l api.ListedMember) bool { return slices.Contains(l.PeerURLs, peerURL) })
		if at >= 0 && !members[at].Learner {
			return api.Refuse("add learner %s: voter %s (%s) has this peer URL; remove it first", peerURL, members[at].Name, members[at].ID)
		}
		if err := announce(); err != nil {
			return err
		}
		if at >= 0 {
			added = api.AddedLearner{ID: members[at].ID, Members: members}
			return nil
		}
		response, err := v.MemberAddAsLearner(ctx, []string{peerURL})
		if errors.Is(err, rpctypes.ErrTooManyLearners) {
			return api.Refuse("add learner %s: the cluster has a learner already, and takes one at a time; promote or remove that first", peerURL)
		}
		if err != nil {
			return fmt.Errorf("add learner %s: %w", peerURL, err)
		}
		added = api.AddedLearner{ID: api.FormatID(response.Member.ID), Members: Listed(response.Members)}
		return nil
	})
	return added, err
}

// Remove removes a member, and waits until the local list no longer has it.
func (v Voter) Remove(ctx context.Context, id uint64) error {
	name := api.FormatID(id)
	if id == v.ID {
		return api.Refuse("remove member %s: it is the one that was asked; ask another voter, since a member that removes itself may not live to tell", name)
	}
	err := Retried(ctx, inPassing(), func() error {
		_, err := v.MemberRemove(ctx, id)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("remove member %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return v.untilListed(ctx, "that member "+name+" is gone", func(list []api.ListedMember) bool {
		return !slices.ContainsFunc(list, func(l api.ListedMember) bool { return l.ID == name })
	})
}

// Update gives a voter another peer URL, and waits until the local list has that URL.
func (v Voter) Update(ctx context.Context, id uint64, peerURL string) error {
	name := api.FormatID(id)
	err := Retried(ctx, inPassing(), func() error {
		members, err := v.members(ctx)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(members, func(l api.ListedMember) bool { return l.ID == name })
		switch {
		case at < 0:
			return api.Refuse("update member %s: it is not in the list", name)
		case members[at].Learner:
			return api.Refuse("update member %s: it is a learner, to which some versions of etcd would give a vote by this; remove it, and add it anew", name)
		case slices.Equal(members[at].PeerURLs, []string{peerURL}):
			return nil
		}
		if _, err := v.MemberUpdate(ctx, id, []string{peerURL}); err != nil {
			return fmt.Errorf("update member %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return v.untilListed(ctx, "that member "+name+" is at "+peerURL, func(list []api.ListedMember) bool {
		return slices.ContainsFunc(list, func(l api.ListedMember) bool { return l.ID == name && slices.Equal(l.PeerURLs, []string{peerURL}) })
	})
}

// Promote promotes a learner, and waits until the local list has it as a voter.
func (v Voter) Promote(ctx context.Context, id uint64) error {
	name := api.FormatID(id)
	err := Retried(ctx, inPassing(), func() error {
		_, err := v.MemberPromote(ctx, id)
		switch {
		case err == nil, errors.Is(err, rpctypes.ErrMemberNotLearner):
			// ErrMemberNotLearner: the member votes already.
			return nil
		case errors.Is(err, rpctypes.ErrMemberLearnerNotReady):
			return api.Refuse("promote member %s: it has not caught up with the leader: %s", name, err)
		}
		return fmt.Errorf("promote member %s: %w", name, err)
	})
	if err != nil {
		return err
	}
	return v.untilListed(ctx, "that member "+name+" votes", func(list []api.ListedMember) bool {
		return slices.ContainsFunc(list, func(l api.ListedMember) bool { return l.ID == name && !l.Learner })
	})
}

// HandOver moves the leadership from the local member to another voter, and waits until another member leads. If the
// local member does not lead, HandOver does nothing.
func (v Voter) HandOver(ctx context.Context, to uint64) error {
	list, err := v.MemberList(ctx, clientv3.WithSerializable())
	if err != nil {
		return fmt.Errorf("list the members: %w", err)
	}
	name := api.FormatID(to)
	if !slices.ContainsFunc(Listed(list.Members), func(l api.ListedMember) bool { return l.ID == name && !l.Learner }) {
		return api.Refuse("move the leadership to member %s: it is no voter of this cluster", name)
	}
	if v.Leader != v.ID || to == v.ID {
		return nil
	}
	// raft gives a transfer up after one election timeout, and etcd does not ask it again.
	return Repeat(ctx, "that another member leads", func() (bool, error) {
		asking, cancel := context.WithTimeout(ctx, transferTimeout)
		_, moved := v.MoveLeader(asking, to)
		cancel()
		status, err := v.Status(ctx, v.Endpoints()[0])
		return err == nil && status.Leader != 0 && status.Leader != v.ID, errors.Join(moved, err)
	})
}
