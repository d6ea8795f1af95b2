package plan_test

import (
	"cmp"
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// drawPeering draws which common name peer certificates are to have, and how far members have come with one: all have a
// certificate with it before the first demands it.
func (e *etcd) drawPeering(t *rapid.T) {
	names := []string{"", "", "ours", "others"}
	e.peerName = rapid.SampledFrom(names).Draw(t, "peer name")
	was := rapid.SampledFrom(names).Draw(t, "peer name before")
	phase := rapid.IntRange(0, 2).Draw(t, "phase of the peer name")
	for _, m := range e.list {
		h := e.at(m.address)
		if !h.marker {
			continue
		}
		// A learner that has not joined has no name in the list yet.
		own := m.name
		if i := slices.IndexFunc(e.want.Members, func(w membership.Member) bool { return w.Address == m.address }); i >= 0 {
			own = e.want.Members[i].Name
		}
		h.peering.Named = own
		if was == "" {
			h.served = own
			continue
		}
		further := rapid.Bool().Draw(t, "further with the peer name "+m.address)
		if h.served = own; phase > 0 || further {
			h.peering.Named = was
		}
		if phase > 0 {
			h.served = was // none that lacks it is served any more, or nobody had come to demand it
		}
		if phase == 2 || phase == 1 && further {
			h.peering.Written, h.peering.Demands = was, was
		}
		if phase == 1 && further && h.running && rapid.IntRange(0, 3).Draw(t, "not restarted "+m.address) == 0 {
			h.peering.Demands = "" // its flags were written, and it runs on
		}
	}
}

// peeringAsDesired is what a member has at the end.
func (e *etcd) peeringAsDesired(name string) membership.Peering {
	return membership.Peering{Named: cmp.Or(e.peerName, name), Demands: e.peerName, Written: e.peerName}
}

// peer is what a step makes of the common name in a member's peer certificate, which it shows at once, and of the one
// that it demands, which it reads once, at its start.
func (e *etcd) peer(step membership.Step) {
	h := e.at(step.At)
	switch step.Kind {
	case membership.Configure, membership.RenewCertificates, membership.Join, membership.Readdress, membership.Recover:
		if !step.Keeps {
			h.peering.Named = cmp.Or(step.Named, step.Member)
		}
	}
	switch step.Kind {
	case membership.Configure, membership.Roll, membership.Join:
		h.peering.Written, h.peering.Demands = step.Demands, step.Demands
	case membership.Promote:
		h.peering.Written = step.Demands
	case membership.Start, membership.Stop, membership.Readdress, membership.Recover:
		if step.Kind != membership.Start || !h.running {
			h.peering.Demands = h.peering.Written
		}
	}
}

// refused names a member that demands a common name, now or from its next start on, and another that has not got it:
// the two would refuse each other.
func (e *etcd) refused() error {
	for _, a := range e.list {
		for _, b := range e.list {
			by, has := e.at(a.address), e.at(b.address)
			if a == b || by.data != a.id || has.data != b.id {
				continue
			}
			shown := []string{has.peering.Named}
			if has.running && has.serves.Peers != "" {
				shown = append(shown, has.served)
			}
			for _, demanded := range []string{by.peering.Demands, by.peering.Written} {
				if demanded != "" && slices.ContainsFunc(shown, func(name string) bool { return name != demanded }) {
					return fmt.Errorf("%s demands the common name %s of its peers, and %s shows %v", a.address, demanded, b.address, shown)
				}
			}
		}
	}
	return nil
}
