package etcdclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

const (
	// membershipPoll is how often a change of membership that etcd does not take yet is tried again, and
	// the list is asked whether a change is in it.
	membershipPoll = 200 * time.Millisecond
	// LeaderTimeout bounds a move of the leadership, which takes milliseconds where the other voter has
	// caught up.
	LeaderTimeout = 20 * time.Second
	// reachTimeout is how long a member may take to learn what the others have agreed on: with an election between,
	// which on a busy machine takes longer than a look waits for.
	reachTimeout = 10 * time.Second
)

// Voter is the local member as a change of the cluster is asked of it.
type Voter struct {
	*clientv3.Client
	Local
	ID, Leader uint64
	State      *clientv3.StatusResponse // what it said of itself when it was asked first
}

// AsVoter asks the member for something, with the whole of the cluster's healthy voters behind it: a learner, which
// answers next to nothing, is refused.
func (l Local) AsVoter(ctx context.Context, do func(context.Context, Voter) error) error {
	client, err := l.Dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	asking, cancel := context.WithTimeout(ctx, LeaderTimeout)
	defer cancel()
	status, err := client.Status(asking, client.Endpoints()[0])
	if err != nil {
		return fmt.Errorf("ask the local member for its status: %w", err)
	}
	if status.IsLearner {
		return api.Refuse("member %s is a learner, through which nothing of the cluster can be changed or saved: ask a voter", l.Marker.Member)
	}
	return do(ctx, Voter{client, l, status.Header.MemberId, status.Leader, status})
}

// MustReachOthers refuses a member that does not know what the others have agreed on: its snapshot would be old.
func (v Voter) MustReachOthers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if _, err := v.Get(ctx, "health"); err != nil {
		return api.Refuse("member %s cannot reach a majority of the voters, and may be behind: ask another voter: %s", v.Marker.Member, err)
	}
	return nil
}

// untilListed waits until the member's own list is as desired.
func (v Voter) untilListed(ctx context.Context, what string, desired func([]api.ListedMember) bool) error {
	return Repeat(ctx, what, func() (bool, error) {
		list, err := v.MemberList(ctx, clientv3.WithSerializable())
		return err == nil && desired(Listed(list.Members)), err
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

// Repeat looks until something is the case. A look that fails is repeated too, and told of at the end.
func Repeat(ctx context.Context, what string, look func() (bool, error)) error {
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
