package host

import (
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// TestComparison holds that a member compares its data where somebody answers, and does not wait for peers that are
// not there, or are about to start as well. What it was started by is the same for whoever looks.
func TestComparison(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	fleet := fleetOf(t, ca, "a", "b", "c")
	a, b, c := fleet[0], fleet[1], fleet[2]
	compares := func(want bool, when string) {
		t.Helper()
		flags, err := a.flags("main")
		if err != nil {
			t.Fatal(err)
		}
		added, err := a.Comparison(t.Context(), "main", flags)
		if err != nil || want != (len(added) == 0) {
			t.Errorf("%s: %q, %v", when, added, err)
		}
	}
	startedBy := func(f *fleetMember) []string {
		t.Helper()
		o := f.await(t, api.AwaitRequest{Members: 3})
		arguments, err := os.ReadFile("/proc/" + strconv.Itoa(o.Unit.MainPID) + "/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(o.Unit.Process.Flags, uncompared) {
			t.Errorf("what member %s runs by reads %q", f.marker.Member, o.Unit.Process.Flags)
		}
		return strings.Split(strings.TrimSuffix(string(arguments), "\x00"), "\x00")
	}
	stop := func(members ...*fleetMember) {
		t.Helper()
		for _, f := range members {
			if err := f.units.Stop(t.Context(), api.Unit("main")); err != nil {
				t.Fatal(err)
			}
		}
	}

	if slices.Contains(startedBy(a), uncompared) {
		t.Error("a member that has no data yet is told not to compare it")
	}
	compares(true, "two peers serve")
	if err := os.Rename(a.path(api.KeyFile("main", api.KeyPeer)), a.path("/peer.key")); err != nil {
		t.Fatal(err)
	}
	compares(true, "its key is gone, which etcd is to complain of")
	if err := os.Rename(a.path("/peer.key"), a.path(api.KeyFile("main", api.KeyPeer))); err != nil {
		t.Fatal(err)
	}
	under := &records.Restoration{Restoration: api.Restoration{Stage: api.StageRestored}}
	if err := a.records().PutRestoration("main", under); err != nil {
		t.Fatal(err)
	}
	compares(false, "a restore is under way")
	under.Stage = api.StageOpened
	if err := a.records().PutRestoration("main", under); err != nil {
		t.Fatal(err)
	}
	compares(true, "the restore was opened, and its record remains")
	under.Opened = a.Now()
	if err := a.records().PutRestoration("main", under); err != nil {
		t.Fatal(err)
	}
	compares(false, "the restore is being opened, and the members are started together")
	if err := a.endRestoration("main", dataDir); err != nil {
		t.Fatal(err)
	}
	stop(b)
	compares(true, "one peer serves")
	slow := slowly(t, net.JoinHostPort(etcdclient.Loopback, strconv.Itoa(c.marker.PeerPort)), 2*etcdclient.AskTimeout)
	fast := a.config.Flags
	// By its election timeout, etcd would wait for a peer for 45 s, in which a peer on a busy machine answers too.
	a.config.Flags = append(slices.Clone(fast), "--election-timeout=20000", "--initial-cluster=a="+a.peerURL()+",b="+b.peerURL()+",c="+slow)
	a.apply(t)
	compares(true, "one peer refuses, and the other is slow to answer")
	a.config.Flags = fast
	a.apply(t)
	stop(a, c)
	compares(false, "no peer serves")

	// What is about to start takes connections, and answers nothing on them.
	about, err := net.Listen("tcp", net.JoinHostPort(etcdclient.Loopback, strconv.Itoa(b.marker.PeerPort)))
	if err != nil {
		t.Fatal(err)
	}
	compares(false, "a peer is about to start")
	if err := about.Close(); err != nil {
		t.Fatal(err)
	}
	// No connection is made to a broadcast address: the kernel says at once that there is no way.
	initial := a.config.Flags
	a.config.Flags = append(slices.Clone(initial), "--initial-cluster=a="+a.peerURL()+",b=https://255.255.255.255:2380,c=https://255.255.255.255:2381")
	a.apply(t)
	compares(true, "no other host can be reached: its network may not be up")
	a.config.Flags = append(slices.Clone(initial), "--initial-cluster=a="+a.peerURL()+",b=https://255.255.255.255:2380,c="+c.peerURL())
	a.apply(t)
	compares(false, "one host is away, and no peer serves on the other")
	a.config.Flags = initial
	a.apply(t)

	a.start(t)
	b.start(t)
	c.start(t)
	if !slices.Contains(startedBy(a), uncompared) {
		t.Error("the first of those that start together waits for the others")
	}
	startedBy(b)
	startedBy(c)
	// As above, the peers may be slow, and are asked for longer than a busy machine keeps them.
	c.config.Flags = append(c.config.Flags, "--election-timeout=20000")
	c.apply(t)
	eventually(t, "a member that comes back to others that serve compares its data", func() bool {
		stop(c) // a start among others that are too busy to answer compares nothing
		c.start(t)
		return !slices.Contains(startedBy(c), uncompared)
	})
}

// slowly returns a peer URL that leads to an address and lets nothing through for some time.
func slowly(t *testing.T, to string, delay time.Duration) string {
	t.Helper()
	way, err := net.Listen("tcp", net.JoinHostPort(etcdclient.Loopback, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = way.Close() })
	go func() {
		for {
			from, err := way.Accept()
			if err != nil {
				return
			}
			go func() {
				defer from.Close()
				time.Sleep(delay)
				peer, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer peer.Close()
				go func() { _, _ = io.Copy(peer, from) }()
				_, _ = io.Copy(from, peer)
			}()
		}
	}()
	return "https://" + way.Addr().String()
}
