package host

import (
	"net"
	neturl "net/url"
	"strconv"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
)

// TestBackupOfABusyMember: a member that answers each question later than a refresh waits for it is backed up and
// rehearsed all the same.
func TestBackupOfABusyMember(t *testing.T) {
	t.Parallel()
	sample.LeaveToNewestMinor(t, "TestOneMemberDoesEachRun takes a backup with every minor version")
	f := fleetOf(t, newAuthority(t), "a")[0]
	backedUp(t, backupOf(), f)
	busy(t, f)
	if view, err := f.Probe(t.Context(), "main", api.ProbeRequest{}); err != nil || view.Responding {
		t.Fatalf("it is not busy: %+v, %v", view, err)
	}
	made := f.mustRun(t, backups.KindBackup)
	f.put(t, 3)
	if last := f.mustRun(t, backups.KindRehearsal); last.Backup != made.Backup || last.BehindRevisions < 3 {
		t.Errorf("it was rehearsed as %+v, after backup %+v", last, made)
	}
}

// TestBusyMemberIsNoFailedOne: who waits for a member, or looks at it with patience, takes one that answers late for
// what it is.
func TestBusyMemberIsNoFailedOne(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, newAuthority(t), "a")[0]
	view := f.await(t, api.AwaitRequest{Members: 1}).Member
	f.formed(t, view)
	busy(t, f)
	if o, err := f.Await(t.Context(), "main", api.AwaitRequest{Members: 1, Timeout: time.Minute}); err != nil || !o.Member.Healthy || !o.Member.Ready {
		t.Errorf("it is awaited as %+v, %v", o.Member, err)
	}
	if o, err := f.Observe(t.Context(), "main", api.ObserveRequest{Patience: time.Minute}); err != nil || !o.Member.Healthy || !o.Member.Ready {
		t.Errorf("it is observed as %+v, %v", o.Member, err)
	}
}

// busy has a member's own host hear each answer of the member later than one question may take.
func busy(t *testing.T, f *fleetMember) {
	t.Helper()
	marker := f.marker
	for _, port := range []*int{&marker.ClientPort, &marker.MetricsPort} {
		way, err := neturl.Parse(slowly(t, net.JoinHostPort(etcdclient.Loopback, strconv.Itoa(*port)), etcdclient.AskTimeout+100*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		if *port, err = strconv.Atoi(way.Port()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Machine.records().PutMarker(marker, etcdOwner); err != nil {
		t.Fatal(err)
	}
}
