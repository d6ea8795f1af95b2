package host

import (
	"slices"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/freeport"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestAMemberAtAnotherPeerURL moves a follower to another peer URL by the calls that the provider makes, and then a
// cluster of one: each keeps its data and its ID.
func TestAMemberAtAnotherPeerURL(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, names := range [][]string{{"a", "b", "c"}, {"a"}} {
		members := fleetOf(t, ca, names...)
		leader, others := split(t, members)
		moved := leader
		if len(others) > 0 {
			moved = others[0]
		}
		leader.put(t, 10)
		port := freeport.Find(t)
		update := api.UpdateMemberRequest{Owner: fleetOwner, ID: moved.id, PeerURL: url("https", port), Timeout: patience}
		other := update
		other.ID = "123abc"
		mustRefuse(t, leader.UpdateMember(t.Context(), "main", other), "it is not in the list")
		other = update
		other.Owner = "another"
		mustRefuse(t, leader.UpdateMember(t.Context(), "main", other), "another Terraform object")
		if len(others) > 0 {
			taken := update
			taken.PeerURL = others[1].peerURL()
			if err := leader.UpdateMember(t.Context(), "main", taken); err == nil {
				t.Error("two members have one peer URL")
			}
		}
		for range 2 { // the second finds it done
			if err := leader.UpdateMember(t.Context(), "main", update); err != nil {
				t.Fatal(err)
			}
		}
		moved.marker.PeerPort = port
		if err := moved.Stop(t.Context(), "main", api.StopRequest{Owner: fleetOwner}); err != nil {
			t.Fatal(err)
		}
		moved.configure(t, members, "existing")
		moved.start(t)
		o := moved.await(t, api.AwaitRequest{Members: len(members)})
		if o.Member.MemberID != moved.id || o.Member.Revision != 11 {
			t.Errorf("it came back as %+v", o.Member)
		}
		for _, f := range members {
			eventually(t, f.marker.Member+" knows it at its new peer URL", func() bool {
				return slices.ContainsFunc(f.probe(t).Members, func(l api.ListedMember) bool {
					return l.ID == moved.id && slices.Equal(l.PeerURLs, []string{update.PeerURL})
				})
			})
		}
		leader.put(t, 1)
	}
}
