package load

import (
	"context"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// afterMove is how long the cluster is left alone after each move: what a move does to writes is over long
// before.
const afterMove = 500 * time.Millisecond

// moveLeader moves the leadership so many times, each time to the follower that has applied most.
func (i *instrument) moveLeader(ctx context.Context, times int) error {
	for range times {
		if err := i.moveOnce(ctx); err != nil {
			return fmt.Errorf("move the leadership: %w", err)
		}
		if !pause(ctx, afterMove) {
			return ctx.Err()
		}
	}
	return nil
}

// findTimeout bounds the search for who leads and who follows: it catches a hang.
const findTimeout = 5 * time.Minute

func (i *instrument) moveOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	clients, err := i.probes()
	for _, client := range clients {
		defer client.Close()
	}
	if err != nil {
		return err
	}
	var leader *clientv3.Client
	var to uint64
	move := Move{}
	for leader == nil || to == 0 {
		leader, to, move.From = i.leads(ctx, clients)
		if (leader == nil || to == 0) && !pause(ctx, 100*time.Millisecond) {
			return fmt.Errorf("of %v none leads, or none follows", i.known())
		}
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

// probes are clients of every endpoint.
func (i *instrument) probes() (clients []*clientv3.Client, err error) {
	for _, endpoint := range i.known() {
		client, err := probing(i.tls, endpoint)
		if err != nil {
			return clients, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

// leads is who leads at this moment, and the follower that has applied most; nil and 0: none says so.
func (i *instrument) leads(ctx context.Context, clients []*clientv3.Client) (leader *clientv3.Client, to uint64, from string) {
	var applied uint64
	for _, client := range clients {
		asking, cancel := context.WithTimeout(ctx, i.Config.Timeout)
		status, err := pb.NewMaintenanceClient(client.ActiveConnection()).Status(asking, &pb.StatusRequest{})
		cancel()
		switch {
		case err != nil || status.IsLearner: // it does not lead, and shall not
		case status.Leader == status.Header.MemberId:
			leader, from = client, hex(status.Leader)
		case status.RaftAppliedIndex > applied:
			to, applied = status.Header.MemberId, status.RaftAppliedIndex
		}
	}
	return leader, to, from
}
