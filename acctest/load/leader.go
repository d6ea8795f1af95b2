package load

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// settle is how long the cluster is left alone after each move: what a move does to writes is over long
// before.
const settle = 500 * time.Millisecond

// moveLeader moves the leadership so many times, each time to the follower that has applied most.
func (i *instrument) moveLeader(ctx context.Context, times int) error {
	for range times {
		if err := i.moveOnce(ctx); err != nil {
			return fmt.Errorf("move the leadership: %w", err)
		}
		if !pause(ctx, settle) {
			return ctx.Err()
		}
	}
	return nil
}

func (i *instrument) moveOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, i.Config.Timeout)
	defer cancel()
	var leader *clientv3.Client
	var to, applied uint64
	move := Move{}
	for _, endpoint := range i.known() {
		client, err := probing(i.tls, endpoint)
		if err != nil {
			return err
		}
		defer client.Close()
		asking, cancel := context.WithTimeout(ctx, time.Second)
		status, err := pb.NewMaintenanceClient(client.ActiveConnection()).Status(asking, &pb.StatusRequest{})
		cancel()
		switch {
		case err != nil || status.IsLearner: // it does not lead, and shall not
		case status.Leader == status.Header.MemberId:
			leader, move.From = client, hex(status.Leader)
		case status.RaftAppliedIndex > applied:
			to, applied = status.Header.MemberId, status.RaftAppliedIndex
		}
	}
	if leader == nil || to == 0 {
		return fmt.Errorf("of %v none leads, or none follows", i.known())
	}
	move.To = hex(to)
	move.Start = i.now()
	if _, err := leader.MoveLeader(ctx, to); err != nil {
		return fmt.Errorf("from %s to %s: %w", move.From, move.To, err)
	}
	move.End = i.now()
	i.answers <- answer{Move: &move}
	return nil
}
