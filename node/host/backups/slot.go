package backups

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// slotPrefix begins the keys, in the cluster itself, by which its members agree on who does a run. For each kind of run
// there is a lock, with a key for each member that waits for it, and a record of the last run:
//
//	_etcd-store/backup/lock/<lease>
//	_etcd-store/backup/last
const slotPrefix = "_etcd-store/"

const (
	// slotTTL is how long after a member has died another one takes its run over, and for how long after a restore the
	// first run waits for the lock that the snapshot holds. A member that does not reach its cluster for two thirds of
	// it may lose its run: elections on busy disks have taken 18 s.
	slotTTL = 30 * time.Second
	// slotTimeout bounds a question to the cluster about who has a slot. A cluster without a quorum does not answer,
	// and a busy one answers late: no backup is to be missing for that.
	slotTimeout = 2 * time.Minute
	// slotTries is how often a run is begun whose lease ended before it was done. A member that loses it more often
	// leaves the run to another one.
	slotTries = 3
	// waitAnew is the time before a wait that has failed begins anew.
	waitAnew = time.Second
)

// slotRun is the run of a scheduled slot, which one of the members is to do.
type slotRun struct {
	marker api.Marker
	kind   string
	slot   string // of the schedule: the members that were started for one run have the same
	asked  bool   // it is to be done even if another member has done the slot
}

// slotRecord is the last run that was done, as all members know of it.
type slotRecord struct {
	Slot   string    `json:"slot"`
	Member string    `json:"member"` // that did it
	Backup string    `json:"backup"` // that was made, or rehearsed
	At     time.Time `json:"at"`     // by that member's clock

	revision int64 // in which it was written; 0: there is none
}

// errWaitLost ends a wait for the slot whose lease has ended. Another one may begin.
var errWaitLost = errors.New("the lease by which this member waited for its slot has ended: it did not reach the cluster for too long")

// errSlotLost ends a run whose lease has ended: another member may be doing the slot by now.
var errSlotLost = errors.New("the lease by which this member held its slot has ended: it did not reach the cluster for too long")

// runOnce runs do unless another member has completed this slot. It waits for the member that holds the lock, and takes
// over if that member fails. do returns the name of the backup that completes the slot, or "" if the slot is still to
// be done. runOnce returns who has completed the slot.
func (h Host) runOnce(ctx context.Context, t slotRun, do func(ctx context.Context) (string, error)) (by slotRecord, err error) {
	// A cancelled run revokes its lease too, so that the next run need not wait for the lease's end.
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
	session, lock, err := t.acquire(ctx, client)
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return h.withoutLock(ctx, client, t, do)
	}
	if err != nil {
		return by, slotError(err)
	}
	defer session.Close()
	by, err = t.last(ctx, client)
	if err != nil || by.Slot == t.slot && !t.asked {
		return by, err
	}
	working, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(session.Ctx(), func() { end(errSlotLost) })()
	done, err := do(working)
	lost := errors.Is(context.Cause(working), errSlotLost)
	if done == "" {
		if lost && err != nil && !errors.Is(err, errSlotLost) {
			err = errors.Join(err, errSlotLost)
		}
		return slotRecord{}, err
	}
	if lost && t.kind == KindBackup {
		err = besidesCutOff(err) // the slot is done: what was cut short behind it, such as retention, the next run does
	}
	before := by.revision
	by = slotRecord{Slot: t.slot, Member: t.marker.Member, Backup: done, At: h.Now().UTC()}
	recorded := t.record(ctx, client, lock, before, by)
	if session.Ctx().Err() != nil {
		recorded = nil // the cluster is away, which does not undo what is stored: another member may do it once more
	}
	return by, errors.Join(err, recorded)
}

// besidesCutOff returns what of an error is not the end of a run whose lease has ended; nil: nothing is. Of errors that
// were joined, each counts by itself.
func besidesCutOff(err error) error {
	if err == nil {
		return nil
	}
	joined, are := err.(interface{ Unwrap() []error })
	if are && err.Error() == errors.Join(joined.Unwrap()...).Error() { // else it is one failure that has several causes
		var left []error
		for _, part := range joined.Unwrap() {
			left = append(left, besidesCutOff(part))
		}
		return errors.Join(left...)
	}
	if inner := errors.Unwrap(err); inner != nil && besidesCutOff(inner) != nil {
		return err
	}
	if errors.Is(err, errSlotLost) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// key is one of the slot's keys.
func (t slotRun) key(name string) string { return slotPrefix + t.kind + "/" + name }

// acquire waits for the lock until it has it, or ctx ends. Whatever ends a wait of hours, such as the end of its lease,
// or a compaction while the local member restarts, this member waits anew by another lease: else nobody would take over
// from a member that holds the lock, and fails. The wait is over if it does not come to wait anew for slotTimeout.
func (t slotRun) acquire(ctx context.Context, client *clientv3.Client) (session *concurrency.Session, lock *concurrency.Mutex, err error) {
	for waited := time.Now(); ; {
		var lease clientv3.LeaseID
		if lease, err = grant(ctx, client); err == nil {
			began := time.Now()
			if session, lock, err = t.lockBy(ctx, client, lease); err == nil {
				return session, lock, nil
			}
			if time.Since(began) > slotTTL { // else it did not come to wait
				waited = time.Now()
			}
		}
		if ctx.Err() != nil || errors.Is(err, rpctypes.ErrNoSpace) || time.Since(waited) > slotTimeout {
			return nil, nil, err
		}
		time.Sleep(waitAnew)
	}
}

// grant returns a new lease. It waits for it no longer than for any question.
func grant(ctx context.Context, client *clientv3.Client) (id clientv3.LeaseID, err error) {
	err = persist(ctx, func(asking context.Context) error {
		lease, err := client.Grant(asking, int64(slotTTL.Seconds())) // one of a try that failed ends by itself
		if err == nil {
			id = lease.ID
		}
		return err
	})
	return id, err
}

// lockBy waits for the lock as long as a lease can be kept alive, which the returned session goes on to do.
func (t slotRun) lockBy(ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID) (*concurrency.Session, *concurrency.Mutex, error) {
	waiting, end := context.WithCancelCause(ctx)
	defer end(nil)
	// Lock cleans up by the context of its client. A member that is frozen would never end that.
	bounded := clientv3.NewCtxClient(waiting)
	bounded.KV, bounded.Lease, bounded.Watcher = client.KV, client.Lease, client.Watcher
	session, err := concurrency.NewSession(bounded, concurrency.WithLease(lease), concurrency.WithTTL(int(slotTTL.Seconds())), concurrency.WithContext(client.Ctx()))
	if err != nil {
		return nil, nil, err
	}
	leased := context.AfterFunc(session.Ctx(), func() { end(errWaitLost) })
	lock := concurrency.NewMutex(session, t.key("lock"))
	err = etcdclient.Retried(waiting, etcdclient.Overloaded, func() error { return lock.Lock(waiting) })
	if !leased() && err == nil {
		err = errWaitLost
	}
	if err != nil {
		_ = session.Close() // a lease that has not ended yet ends by itself
		return nil, nil, err
	}
	return session, lock, nil
}

// persist repeats a request for slotTimeout while the cluster is too busy to agree on it.
func persist(ctx context.Context, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	return etcdclient.Retried(ctx, etcdclient.Overloaded, func() error { return ask(ctx) })
}

// last returns the record of the last completed run, or a zero record if there is none.
func (t slotRun) last(ctx context.Context, client *clientv3.Client) (slotRecord, error) {
	var answer *clientv3.GetResponse
	err := persist(ctx, func(asking context.Context) (err error) {
		answer, err = client.Get(asking, t.key("last"))
		return err
	})
	if err != nil {
		return slotRecord{}, slotError(err)
	}
	var last slotRecord
	if len(answer.Kvs) == 0 {
		return slotRecord{}, nil
	}
	if json.Unmarshal(answer.Kvs[0].Value, &last) != nil {
		last = slotRecord{} // the next run writes it anew
	}
	last.revision = answer.Kvs[0].ModRevision
	return last, nil
}

// record tells all members that the slot is completed. A member that has lost the lock says so unless another one has
// recorded a run since the revision before: the slot is done all the same.
func (t slotRun) record(ctx context.Context, client *clientv3.Client, lock *concurrency.Mutex, before int64, done slotRecord) error {
	text, err := json.Marshal(done)
	if err != nil {
		return err
	}
	isLast := clientv3.Compare(clientv3.ModRevision(t.key("last")), "=", before)
	for _, proof := range []clientv3.Cmp{lock.IsOwner(), isLast} {
		var answer *clientv3.TxnResponse
		err = persist(ctx, func(asking context.Context) (err error) {
			answer, err = client.Txn(asking).If(proof).Then(clientv3.OpPut(t.key("last"), string(text))).Commit()
			return err
		})
		if err != nil {
			return slotError(err)
		}
		if answer.Succeeded {
			return nil
		}
	}
	return nil
}

// withoutLock has the leader do the run in a cluster whose database is full, and takes neither the cluster's lock nor a
// record: the cluster is backed up all the same. Of the processes of this host one does it at a time, and the host's
// own record says which slot was done last.
func (h Host) withoutLock(ctx context.Context, client *clientv3.Client, t slotRun, do func(context.Context) (string, error)) (slotRecord, error) {
	asking, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	status, err := client.Status(asking, client.Endpoints()[0])
	if err != nil {
		return slotRecord{}, slotError(err)
	}
	if !t.asked && status.Leader != status.Header.MemberId {
		return slotRecord{}, fmt.Errorf("%w: the cluster's database is full, and takes no lock: the leader does it", errNotNow)
	}
	lock, err := h.lockHere(ctx, t)
	if err != nil {
		return slotRecord{}, err
	}
	defer lock.Close()
	if here := h.Record(t.marker, t.kind); !t.asked && here.Good != nil && here.Slot == t.slot {
		return slotRecord{Slot: t.slot, Member: t.marker.Member, Backup: here.Good.Backup, At: here.Good.Ended}, nil
	}
	done, err := do(ctx)
	return slotRecord{Slot: t.slot, Member: t.marker.Member, Backup: done}, err
}

// lockHere waits until no other process of this host does a run of this kind. The lock ends with its file, which lies
// where the sandbox of runs lets them write.
func (h Host) lockHere(ctx context.Context, t slotRun) (io.Closer, error) {
	file, err := inside.OpenFile(h.Files.Path(LockFile(t.marker.DataDir, t.kind)), os.O_RDWR|os.O_CREATE, files.KeyFile)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", file.Name(), err), file.Close())
		}
		select {
		case <-time.After(waitAnew):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), file.Close())
		}
	}
}

// slotError says what the members could not do without the cluster.
func slotError(err error) error {
	return fmt.Errorf("agree with the other members on who does it: %w", err)
}
