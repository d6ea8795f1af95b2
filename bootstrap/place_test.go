package bootstrap_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestPlaceBesideAnotherOfItsAddress has somebody add a member at the address of b, with another port: b stays what it is,
// whether its host can be asked or not, and the other is the stranger.
func TestPlaceBesideAnotherOfItsAddress(t *testing.T) {
	c := three()
	b := c.Members[1]
	for _, id := range []string{"0001", "ffff"} { // the list is in the order of IDs
		for _, asked := range []bool{true, false} {
			sight := alive(t, c)
			own := sight[b].Observation.Member.MemberID
			listed(sight, func(list []api.ListedMember) []api.ListedMember {
				other := api.ListedMember{ID: id, Name: "x", PeerURLs: []string{"https://" + b.Address + ":2390"}}
				if id < own {
					return slices.Insert(list, 0, other)
				}
				return append(list, other)
			})
			if !asked {
				sight[b] = bootstrap.Report{Err: errors.New("no route to host")}
			}
			p := c.Picture(ours.Owner, sight, now)
			if s := p.Seat(b); s.ID != own || s.From != "" || s.Role != membership.Voter {
				t.Errorf("another member %s, b is asked %t: b is %s %s, from %q; its ID is %s", id, asked, s.Role, s.ID, s.From, own)
			}
			if len(p.Strangers) != 1 || p.Strangers[0].ID != id {
				t.Errorf("another member %s, b is asked %t: strangers %+v", id, asked, p.Strangers)
			}
		}
	}
}
