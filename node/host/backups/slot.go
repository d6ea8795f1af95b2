package backups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// slotPrefix begins the keys, in the cluster itself, by which its members agree on who does a run. Of each kind
// there is a lock, with a key for each member that waits for it, and a record of the last run:
//
//	_etcd-store/backup/lock/<lease>
//	_etcd-store/backup/last
const slotPrefix = "_etcd-store/"

const (
	// slotTTL is how long after the end of a member that was at it another takes over.
	slotTTL = 20 * time.Second
	// slotTimeout bounds a question to the cluster about who has a slot. One that has lost its quorum answers none.
	slotTimeout = 15 * time.Second
)

// slotRun is the run of a scheduled slot, which one of the members is to do.
type slotRun struct {
	marker api.Marker
	kind   string
	slot   string // of the schedule: the members that were started for one run have the same
	asked  bool   // it is to be done whoever did the last one
}

// slotRecord is the last run that was done, as all members know of it.
type slotRecord struct {
	Slot   string    `json:"slot"`
	Member string    `json:"member"` // that did it
	Backup string    `json:"backup"` // that was made, or rehearsed
	At     time.Time `json:"at"`     // by that member's clock
}

// errSlotLost ends a run whose lease has ended: another member may be at it by now.
var errSlotLost = errors.New("the lease by which this member held its slot has ended: it did not reach the cluster for too long")

// runOnce does the run of a slot, unless another member has done it: it waits for the member that holds the slot, and
// takes over where that one fails. do returns the name of the backup with which the run is done; empty: it is still to be done.
// What it returns besides says who has done the run.
func (h Host) runOnce(ctx context.Context, t slotRun, do func(ctx context.Context) (string, error)) (by slotRecord, err error) {
	// The lease is given back also where the run was cancelled, so that the next one need not wait for its end.
	lasting := context.WithoutCancel(ctx)
	client, err := h.local(t.marker).Dial(lasting)
	if err != nil {
		return by, err
	}
	defer client.Close()
	by, err = t.last(ctx, client)
	if err != nil || by.Slot == t.slot && !t.asked {
		return by, err
	}
	session, err := newSession(ctx, client)
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return t.withoutLock(ctx, client, do)
	}
	if err != nil {
		return by, slotError(err)
	}
	defer session.Close()
	lock := concurrency.NewMutex(session, t.key("lock"))
	if err := lock.Lock(ctx); err != nil {
		return by, slotError(err)
	}
	by, err = t.last(ctx, client)
	if err != nil || by.Slot == t.slot && !t.asked {
		return by, err
	}
	working, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(session.Ctx(), func() { end(errSlotLost) })()
	done, err := do(working)
	if done == "" {
		if lost := context.Cause(working); err != nil && errors.Is(lost, errSlotLost) && !errors.Is(err, lost) {
			err = errors.Join(err, lost)
		}
		return slotRecord{}, err
	}
	by = slotRecord{Slot: t.slot, Member: t.marker.Member, Backup: done, At: h.Now().UTC()}
	return by, errors.Join(err, t.record(ctx, client, lock, by))
}

// key is one of the slot's keys.
func (t slotRun) key(name string) string { return slotPrefix + t.kind + "/" + name }

// newSession is a lease that is kept up, without waiting longer than for a question.
func newSession(ctx context.Context, client *clientv3.Client) (*concurrency.Session, error) {
	asking, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	lease, err := client.Grant(asking, int64(slotTTL.Seconds()))
	if err != nil {
		return nil, err
	}
	return concurrency.NewSession(client, concurrency.WithLease(lease.ID), concurrency.WithTTL(int(slotTTL.Seconds())))
}

// last is the last run that was done; zero: none was.
func (t slotRun) last(ctx context.Context, client *clientv3.Client) (slotRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	answer, err := client.Get(ctx, t.key("last"))
	if err != nil {
		return slotRecord{}, slotError(err)
	}
	var last slotRecord
	if len(answer.Kvs) > 0 && json.Unmarshal(answer.Kvs[0].Value, &last) != nil {
		return slotRecord{}, nil // the next run writes it anew
	}
	return last, nil
}

// record tells all members that the run is done, if this member still holds the slot.
func (t slotRun) record(ctx context.Context, client *clientv3.Client, lock *concurrency.Mutex, done slotRecord) error {
	text, err := json.Marshal(done)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	answer, err := client.Txn(ctx).If(lock.IsOwner()).Then(clientv3.OpPut(t.key("last"), string(text))).Commit()
	if err != nil {
		return slotError(err)
	}
	if !answer.Succeeded {
		return errSlotLost
	}
	return nil
}

// withoutLock does a run of a cluster whose database is full, which takes no lock and no record: the leader does it.
// Its data must not be without a backup for that.
func (t slotRun) withoutLock(ctx context.Context, client *clientv3.Client, do func(context.Context) (string, error)) (slotRecord, error) {
	asking, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	status, err := client.Status(asking, client.Endpoints()[0])
	if err != nil {
		return slotRecord{}, slotError(err)
	}
	if !t.asked && status.Leader != status.Header.MemberId {
		return slotRecord{}, fmt.Errorf("%w: the cluster's database is full, and takes no lock: the leader does it", errNotNow)
	}
	done, err := do(ctx)
	return slotRecord{Slot: t.slot, Member: t.marker.Member, Backup: done}, err
}

// slotError says what it means that the cluster does not take part.
func slotError(err error) error {
	return fmt.Errorf("agree with the other members on who does it: %w", err)
}
