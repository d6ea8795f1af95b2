package bootstrap_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestPlaceOfARemovedMember has somebody remove b, and add another member at its address with another port, of b's name
// too: b is in the list no more, and the other is an unmanaged member, which nobody here may remove. One at b's very
// URL is b, added anew.
func TestPlaceOfARemovedMember(t *testing.T) {
	c := three()
	b := c.Members[1]
	for _, other := range []api.ListedMember{
		{ID: "ffff", Name: "x", PeerURLs: []string{"https://" + b.Address + ":2390"}},
		{ID: "ffff", Name: "b", PeerURLs: []string{"https://" + b.Address + ":2390"}},
		{ID: "ffff", PeerURLs: []string{"https://" + b.Address + ":2390"}},
		{ID: "ffff", PeerURLs: []string{c.PeerURL(b)}},
	} {
		reports := alive(t, c)
		own := reports[b].Observation.Member.MemberID
		listed(reports, func(list []api.ListedMember) []api.ListedMember {
			return append(slices.DeleteFunc(list, func(e api.ListedMember) bool { return e.ID == own }), other)
		})
		p, anew := c.Status(ours.Owner, reports, now), other.PeerURLs[0] == c.PeerURL(b)
		if s := p.Member(b); (s.ID == other.ID) != anew || !anew && s.Role != membership.Absent {
			t.Errorf("beside %+v, b is %q, its ID %q, from %q", other, s.Role, s.ID, s.From)
		}
		if isUnmanaged := len(p.Unmanaged) == 1 && p.Unmanaged[0].ID == other.ID; isUnmanaged == anew {
			t.Errorf("unmanaged beside %+v: %+v", other, p.Unmanaged)
		}
	}
}

// TestPlaceBesideAnotherOfItsAddress has somebody add a member at the address of b, with another port: b stays what it
// is, whether its host can be asked or not, and the other is the unmanaged member.
func TestPlaceBesideAnotherOfItsAddress(t *testing.T) {
	c := three()
	b := c.Members[1]
	for _, id := range []string{"0001", "ffff"} { // the list is in the order of IDs
		for _, asked := range []bool{true, false} {
			reports := alive(t, c)
			own := reports[b].Observation.Member.MemberID
			listed(reports, func(list []api.ListedMember) []api.ListedMember {
				other := api.ListedMember{ID: id, Name: "x", PeerURLs: []string{"https://" + b.Address + ":2390"}}
				if id < own {
					return slices.Insert(list, 0, other)
				}
				return append(list, other)
			})
			if !asked {
				reports[b] = bootstrap.Report{Err: errors.New("no route to host")}
			}
			p := c.Status(ours.Owner, reports, now)
			if s := p.Member(b); s.ID != own || s.From != "" || s.Role != membership.Voter {
				t.Errorf("another member %s, b is asked %t: b is %s %s, from %q; its ID is %s", id, asked, s.Role, s.ID, s.From, own)
			}
			if len(p.Unmanaged) != 1 || p.Unmanaged[0].ID != id {
				t.Errorf("another member %s, b is asked %t: unmanaged %+v", id, asked, p.Unmanaged)
			}
		}
	}
}
