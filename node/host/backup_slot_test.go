package host

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
)

// TestARunWaitsOnWhenItsLeaseEnds: a member that waits for another one's run, and whose lease ends meanwhile, waits by
// another lease, and does the run once the other one has failed.
func TestARunWaitsOnWhenItsLeaseEnds(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "who does a run is agreed on in the same way with each")
	f := fleetOf(t, newAuthority(t), "a")[0]
	backedUp(t, backupOf(), f)
	const locks = "_etcd-store/backup/lock/"
	waiting := func() (leases []int64) { // of who waits behind the other one
		f.client(t, func(c *clientv3.Client) {
			if all, err := c.Get(t.Context(), locks, clientv3.WithPrefix()); err == nil {
				for _, kv := range all.Kvs {
					if !strings.HasSuffix(string(kv.Key), "/other") {
						leases = append(leases, kv.Lease)
					}
				}
			}
		})
		return leases
	}
	f.client(t, func(c *clientv3.Client) {
		if _, err := c.Put(t.Context(), locks+"other", ""); err != nil {
			t.Fatal(err)
		}
	})
	done := make(chan error, 1)
	go func() { done <- f.Backups().RunBackup(t.Context(), "main", false, func(string) {}) }()
	var first int64
	eventually(t, "it waits", func() bool {
		all := waiting()
		if len(all) == 1 {
			first = all[0]
		}
		return len(all) == 1
	})
	f.client(t, func(c *clientv3.Client) {
		if _, err := c.Revoke(t.Context(), clientv3.LeaseID(first)); err != nil {
			t.Fatal(err)
		}
	})
	eventually(t, "it waits by another lease", func() bool {
		select {
		case err := <-done:
			t.Fatalf("it has ended: %v", err)
		default:
		}
		all := waiting()
		return len(all) == 1 && all[0] != first
	})
	f.client(t, func(c *clientv3.Client) {
		if _, err := c.Delete(t.Context(), locks+"other"); err != nil {
			t.Fatal(err)
		}
	})
	if err := <-done; err != nil || f.last(t, backups.KindBackup).Backup == "" {
		t.Errorf("once the other one has failed: %v", err)
	}
}

// TestAMemberIsGivenTimeToReachTheOthers: one that has no quorum for longer than whoever can ask another member waits
// is no fault to who has the time.
func TestAMemberIsGivenTimeToReachTheOthers(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "an election takes as long with each")
	fleet := fleetOf(t, newAuthority(t), "a", "b")
	a, b := fleet[0], fleet[1]
	a.await(t, api.AwaitRequest{Members: 2})
	other := b.units.process.Process
	resumes := func() { _ = other.Signal(syscall.SIGCONT) }
	defer resumes()
	err := a.local(a.marker).AsVoter(t.Context(), func(ctx context.Context, v etcdclient.Voter) error {
		if err := other.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		defer time.AfterFunc(etcdclient.ReachTimeout+5*time.Second, resumes).Stop()
		return v.MustReachOthers(ctx, patience)
	})
	if err != nil {
		t.Error(err)
	}
}
