package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// slotLocks begins the keys by which members wait for who makes a backup.
const slotLocks = "_etcd-store/backup/lock/"

// queued is a run of a member that waits behind another member's.
type queued struct {
	f    *fleetMember
	done chan error
}

// leases returns the leases of members that wait for who makes a backup, or hold the lock.
func (f *fleetMember) leases(t *testing.T) (found []int64) {
	t.Helper()
	f.client(t, func(c *clientv3.Client) {
		all, err := c.Get(t.Context(), slotLocks, clientv3.WithPrefix(), clientv3.WithSerializable())
		if err != nil {
			return
		}
		for _, kv := range all.Kvs {
			if kv.Lease != 0 {
				found = append(found, kv.Lease)
			}
		}
	})
	return found
}

// queue begins a run behind one that another member holds the lock for.
func queue(ctx context.Context, t *testing.T, f *fleetMember) queued {
	t.Helper()
	f.client(t, func(c *clientv3.Client) {
		if err := persist(t, func() error { _, err := c.Put(t.Context(), slotLocks+"other", ""); return err }); err != nil {
			t.Fatal(err)
		}
	})
	q := queued{f, make(chan error, 1)}
	go func() { q.done <- f.Backups().RunBackup(ctx, "main", false, func(string) {}) }()
	return q
}

// otherThan returns the lease by which the run waits, once that is another one.
func (q queued) otherThan(t *testing.T, lease int64) (now int64) {
	t.Helper()
	eventually(t, "it waits by another lease", func() bool {
		select {
		case err := <-q.done:
			t.Fatalf("it has ended: %v", err)
		default:
		}
		if all := q.f.leases(t); len(all) > 0 {
			now = all[0]
		}
		return now != 0 && now != lease
	})
	return now
}

// otherFails has the member fail that the run waits for.
func (q queued) otherFails(t *testing.T) {
	t.Helper()
	q.f.client(t, func(c *clientv3.Client) {
		if err := persist(t, func() error { _, err := c.Delete(t.Context(), slotLocks+"other"); return err }); err != nil {
			t.Fatal(err)
		}
	})
}

// TestARunWaitsOn: a member that waits for another one's run waits on whatever becomes of its wait, by another lease,
// and does the run once the other one has failed.
func TestARunWaitsOn(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "who does a run is agreed on in the same way with each")
	for name, end := range map[string]func(t *testing.T, f *fleetMember, lease int64){
		"its lease ends": func(t *testing.T, f *fleetMember, lease int64) {
			f.client(t, func(c *clientv3.Client) {
				if err := persist(t, func() error { _, err := c.Revoke(t.Context(), clientv3.LeaseID(lease)); return err }); err != nil {
					t.Fatal(err)
				}
			})
		},
		"what it watches for is compacted": func(t *testing.T, f *fleetMember, _ int64) {
			f.put(t, 3)
			f.client(t, func(c *clientv3.Client) {
				if err := persist(t, func() error {
					now, err := c.Get(t.Context(), "now")
					if err != nil {
						return err
					}
					_, err = c.Compact(t.Context(), now.Header.Revision)
					return err
				}); err != nil {
					t.Fatal(err)
				}
			})
			// A member that comes again is asked for what came since it went.
			f.units.end(syscall.SIGTERM)
			f.start(t)
			f.await(t, api.AwaitRequest{Members: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleetOf(t, newAuthority(t), "a")[0]
			backedUp(t, backupOf(), f)
			q := queue(t.Context(), t, f)
			first := q.otherThan(t, 0)
			end(t, f, first)
			q.otherThan(t, first)
			q.otherFails(t)
			if err := <-q.done; err != nil || f.last(t, backups.KindBackup).Backup == "" {
				t.Errorf("once the other one has failed: %v", err)
			}
		})
	}
}

// TestARunThatHasWaitedLooksAgain: where a restore has begun while a run waited for another member, the run backs up
// nothing of what is not opened yet.
func TestARunThatHasWaitedLooksAgain(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "who does a run is agreed on in the same way with each")
	f := fleetOf(t, newAuthority(t), "a")[0]
	backedUp(t, backupOf(), f)
	q := queue(t.Context(), t, f)
	q.otherThan(t, 0)
	if err := f.records().PutRestoration("main", &records.Restoration{Restoration: api.Restoration{Stage: api.StageRestored}}); err != nil {
		t.Fatal(err)
	}
	q.otherFails(t)
	if err := <-q.done; err != nil || len(f.backups(t).Backups) > 0 {
		t.Errorf("it has backed up what is not opened, or failed: %v", err)
	}
}

// TestAWaitBehindAFrozenMemberEnds: a run that is stopped while it waits, and whose own member answers nothing any
// more, ends before long.
func TestAWaitBehindAFrozenMemberEnds(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "what is frozen is as silent with each")
	f := fleetOf(t, newAuthority(t), "a")[0]
	backedUp(t, backupOf(), f)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	q := queue(ctx, t, f)
	q.otherThan(t, 0)
	if err := f.units.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stop()
	select {
	case err := <-q.done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(patience):
		t.Errorf("it has not ended within %s", patience)
	}
}

// TestARunOutlastsAClusterWithoutAQuorum: a run whose member does not reach the others, until the lease by which it
// holds its slot has ended, is done once they are back.
func TestARunOutlastsAClusterWithoutAQuorum(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "an election takes as long with each")
	fleet := fleetOf(t, newAuthority(t), "a", "b")
	a, b := fleet[0], fleet[1]
	a.await(t, api.AwaitRequest{Members: 2})
	backedUp(t, backupOf(), a)
	other := b.units.process.Process
	resumes := func() { _ = other.Signal(syscall.SIGCONT) }
	defer resumes()
	var stop sync.Once
	now := a.Now
	a.Now = func() time.Time { // a run that holds its slot asks when it began
		if len(a.leases(t)) > 0 {
			stop.Do(func() {
				if err := other.Signal(syscall.SIGSTOP); err != nil {
					t.Error(err)
				}
			})
		}
		return now()
	}
	anew := 0
	err := a.Backups().RunBackup(t.Context(), "main", false, func(text string) {
		if strings.Contains(text, "begins anew") {
			anew++
			resumes()
		}
	})
	if last := a.last(t, backups.KindBackup); err != nil || anew == 0 || last.Backup == "" || last.Error != "" {
		t.Errorf("it began anew %d times, and its host remembers %+v: %v", anew, last, err)
	}
}

// TestARunThatIsDoneStaysDone: a run whose lease ends once its backup is stored has succeeded, and the members know of
// it, unless one of them has recorded another run since.
func TestARunThatIsDoneStaysDone(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "who does a run is agreed on in the same way with each")
	const last = "_etcd-store/backup/last"
	for name, test := range map[string]struct {
		noticed bool   // before the run says that it is done
		other   string // who has recorded a run meanwhile
	}{
		"it is not noticed":            {},
		"it is noticed":                {noticed: true},
		"another has done one as well": {other: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fleetOf(t, newAuthority(t), "a")[0]
			backedUp(t, backupOf(), f)
			f.mustRun(t, backups.KindBackup) // there is a record
			ends := sync.OnceFunc(func() {
				f.client(t, func(c *clientv3.Client) {
					for _, lease := range f.leases(t) {
						if err := persist(t, func() error { _, err := c.Revoke(t.Context(), clientv3.LeaseID(lease)); return err }); err != nil {
							t.Error(err)
						}
					}
					if test.other == "" {
						return
					}
					if err := persist(t, func() error {
						_, err := c.Put(t.Context(), last, `{"slot":"another","member":"`+test.other+`","backup":"another"}`)
						return err
					}); err != nil {
						t.Error(err)
					}
				})
				if test.noticed {
					time.Sleep(15 * time.Second) // a lease is kept alive every 10 s
				}
			})
			err := f.Backups().RunBackup(t.Context(), "main", true, func(text string) {
				if strings.HasPrefix(text, "stored ") {
					ends()
				}
			})
			did := f.last(t, backups.KindBackup)
			if by := f.agreed(t, backups.KindBackup); err != nil || did.Error != "" || by.Backup != did.Backup && test.other == "" || test.other != "" && by.Member != test.other {
				t.Errorf("it has made %+v, and the members know of %+v: %v", did, by, err)
			}
		})
	}
}

// TestBackupOfAFullCluster holds that a cluster which takes no writes any more is backed up and rehearsed, by one
// member.
func TestBackupOfAFullCluster(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "TestOneMemberDoesEachRun takes a backup with every minor version")
	members := []*fleetMember{newcomer(t, newAuthority(t), "a")}
	f := members[0]
	f.configure(t, members, "new")
	f.config.Flags = append(f.config.Flags, "--quota-backend-bytes=1000000")
	f.apply(t)
	f.start(t)
	f.await(t, api.AwaitRequest{Members: 1})
	backedUp(t, backupOf(), f)
	f.client(t, func(c *clientv3.Client) {
		// etcd measures its database when it commits: until then it takes what there is no space for.
		eventually(t, "the database is full", func() bool {
			_, err := c.Put(t.Context(), "big", strings.Repeat("x", 100_000))
			return errors.Is(err, rpctypes.ErrNoSpace)
		})
	})
	for _, kind := range backups.Kinds {
		if err := f.run(t, kind, false); err != nil || f.last(t, kind).Backup == "" {
			t.Errorf("%s: %v", kind, err)
		}
		if err := f.run(t, kind, false); err != nil { // and leaves the slot to the run that has ended
			t.Errorf("%s again: %v", kind, err)
		}
		f.mustWaitHere(t, kind)
	}
	if found := f.backups(t).Backups; len(found) != 1 || found[0].VerifiedAt.IsZero() {
		t.Errorf("there are %+v", found)
	}
}

// mustWaitHere wants a run to wait for that of another process of its host, and to leave the slot to it.
func (f *fleetMember) mustWaitHere(t *testing.T, kind string) {
	t.Helper()
	path := f.path(backups.LockFile(dataDir, kind))
	under, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer under.Close()
	if err := syscall.Flock(int(under.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- f.run(t, kind, false) }()
	eventually(t, "it looks at the lock", func() bool {
		open, _ := filepath.Glob("/proc/self/fd/*")
		return len(slices.DeleteFunc(open, func(fd string) bool { to, _ := os.Readlink(fd); return to != path })) == 2
	})
	record := f.Backups().Record(f.marker, kind)
	did := *record.Good
	record.Good.Backup = "another's"
	if err := errors.Join(f.Backups().PutRecord(f.marker, kind, record), under.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("%s: %v", kind, err)
	}
	if good := f.Backups().Record(f.marker, kind).Good; good.Backup != "another's" {
		t.Errorf("%s: the slot that was done is done again: %+v", kind, good)
	}
	*record.Good = did
	if err := f.Backups().PutRecord(f.marker, kind, record); err != nil {
		t.Fatal(err)
	}
}
