package host

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
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
	way := slowly(t, net.JoinHostPort(etcdclient.Loopback, strconv.Itoa(f.marker.ClientPort)), etcdclient.AskTimeout+100*time.Millisecond)
	port, err := strconv.Atoi(way[strings.LastIndex(way, ":")+1:])
	if err != nil {
		t.Fatal(err)
	}
	busy := f.marker
	busy.ClientPort = port
	if err := f.Machine.records().PutMarker(busy, etcdOwner); err != nil {
		t.Fatal(err)
	}
	if view, err := f.Probe(t.Context(), "main"); err != nil || view.Responding {
		t.Fatalf("it is not busy: %+v, %v", view, err)
	}
	made := f.mustRun(t, backups.KindBackup)
	f.put(t, 3)
	if last := f.mustRun(t, backups.KindRehearsal); last.Backup != made.Backup || last.BehindRevisions < 3 {
		t.Errorf("it was rehearsed as %+v, after backup %+v", last, made)
	}
}
