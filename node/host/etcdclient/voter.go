package etcdclient

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
	// membershipPoll is how long to wait before a change of membership that etcd does not accept yet is tried again,
	// and before the list is read again.
	membershipPoll = 200 * time.Millisecond
	// LeaderTimeout bounds a move of the leadership, which takes milliseconds if the other voter has caught up.
	LeaderTimeout = 20 * time.Second
	// transferTimeout is how long one request for that may take: twice an election, and more.
	transferTimeout = 3 * time.Second
	// ReachTimeout is how long a member may take to learn what the others have agreed on, if another one can be asked
	// instead. There may be an election first, which on a busy machine takes longer than AskTimeout.
	ReachTimeout = 10 * time.Second
)

// Voter is the local member, through which the cluster is changed.
type Voter struct {
	*clientv3.Client
	Local
	ID, Leader uint64
	State      *clientv3.StatusResponse // the member's status when it was first asked
}

// AsVoter calls do with the local member as a voter. It refuses a learner, which serves next to no requests.
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

// MustReachOthers refuses a member that does not learn within some time what the others have agreed on: its snapshot
// would be old.
func (v Voter) MustReachOthers(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
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

// Overloaded are the errors of requests that members could not agree on in etcd's own time (7 s), since their disks or
// processors were busy or they elected a leader. Such a request may have been carried out all the same.
var Overloaded = []error{rpctypes.ErrTimeout, rpctypes.ErrTimeoutWaitAppliedIndex, rpctypes.ErrTooManyRequests, rpctypes.ErrTimeoutDueToLeaderFail, rpctypes.ErrTimeoutDueToConnectionLost, rpctypes.ErrLeaderChanged, rpctypes.ErrNoLeader}

// Retried repeats do while it returns one of the errors in passing, which etcd returns for a short while only.
func Retried(ctx context.Context, passing []error, do func() error) error {
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

// Repeat calls look until it returns true, or ctx ends. It ignores errors of look, and reports the last one if the time
// is over.
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
