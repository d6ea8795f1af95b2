package host

import (
	"slices"
	"syscall"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
)

// TestConnectedPeers holds that a member reports with which peers it has connections: with all that run, and no others,
// also once the quorum is lost.
func TestConnectedPeers(t *testing.T) {
	t.Parallel()
	members := fleetOf(t, newAuthority(t), "a", "b", "c")
	a, b, c := members[0], members[1], members[2]
	mustBeConnected := func(peers ...*fleetMember) {
		t.Helper()
		want := []string{}
		for _, f := range peers {
			want = append(want, f.id)
		}
		slices.Sort(want)
		eventually(t, "a is connected with these and no others", func() bool { return slices.Equal(a.probe(t).Connected, want) })
	}
	mustBeConnected(b, c)
	if a.probe(t).ConnectionsUnknown || !(etcdclient.Local{Root: a.Root, Marker: api.Marker{Cluster: "main", MetricsPort: 1}}).Look(t.Context()).ConnectionsUnknown {
		t.Error("a member tells its connections, and one whose metrics do not answer cannot")
	}
	c.units.end(syscall.SIGKILL)
	mustBeConnected(b)
	b.units.end(syscall.SIGTERM)
	mustBeConnected()
}
