package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Members come to demand a common name of their peers in two moves, and stop demanding it in the same two, backwards.
// First every member's peer certificate gets the name, without a restart. Then members are rolled, one by one, to
// demand it. So no member ever demands a name that another's certificate lacks: the two would refuse each other, in
// both directions. The next move follows from what all members have, so an interrupted run continues where it was. It
// waits while nobody knows what some member has.

// peers is what matters of the members' peer certificates as a whole.
type peers struct {
	demands []string // the common names that members demand, or will from their next start on
	unknown string   // a member of which it is not known what it serves or demands; empty: there is none
	shared  string   // the common name that all known certificates have, if it is no member's; empty: there is none
	ready   bool     // every member is known to serve a certificate with the desired common name
}

// peersIn returns what matters of the members' peer certificates. All members count that are in the list and may run:
// the ones that leave too.
func peersIn(p membership.ClusterStatus) (known peers) {
	if len(p.Unmanaged) > 0 {
		known.unknown = "a member that is not managed"
	}
	var names []string
	lacking := false
	for _, s := range p.Members {
		if !counts(s) {
			continue
		}
		if !s.Peering.Known || s.Serves.Peers != "" {
			known.unknown = cmp.Or(known.unknown, s.String())
		}
		if lacking = lacking || s.Peering.Named == ""; s.Peering.Named != "" {
			names = append(names, s.Peering.Named)
		}
		for _, name := range []string{s.Peering.Demands, s.Peering.Written} {
			if name != "" && !slices.Contains(known.demands, name) {
				known.demands = append(known.demands, name)
			}
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 1 && !slices.ContainsFunc(p.Members, func(s membership.MemberStatus) bool { return s.Name == names[0] }) {
		known.shared = names[0]
	}
	known.ready = p.PeerName != "" && known.unknown == "" && !lacking && len(names) == 1 && names[0] == p.PeerName
	return known
}

// named returns the common name that a member's next peer certificate gets; empty: the member's name. What members
// demand comes before what is desired. A member that nobody can ask may demand a name: then all others have it, so that
// they keep what they have.
func (c *planner) named(s membership.MemberStatus) string {
	name := c.PeerName
	switch {
	case len(c.peers.demands) == 1:
		name = c.peers.demands[0]
	case len(c.peers.demands) == 0 && c.peers.unknown == "":
	default:
		name = cmp.Or(c.peers.shared, s.Peering.Named, name)
	}
	if name == s.Name {
		return ""
	}
	return name
}

// demanded returns the common name that a member is to demand of its peers from its next start on; empty: none. It is
// never given one that another member may lack.
func (c *planner) demanded(s membership.MemberStatus) string {
	if c.peers.ready || s.Peering.Demands == c.PeerName && s.Peering.Written == c.PeerName {
		return c.PeerName
	}
	return ""
}

// comparePeers makes certificates invalid that lack the common name that they are to have by now, and members outdated
// that do not demand what they are to.
func (c *planner) comparePeers() {
	c.ClusterStatus = c.Clone()
	for i := range c.Members {
		s := &c.Members[i]
		if !s.Desired || !s.Peering.Known || s.From != "" || s.Role == membership.Absent {
			continue // a re-address gives a member all of that
		}
		if name := cmp.Or(c.named(*s), s.Name); s.Peering.Named != "" && s.Peering.Named != name && !s.NeedsCertificates() && s.Serves.Peers == "" &&
			c.canSign() && (s.State == membership.Healthy || len(c.peers.demands) > 0) {
			s.Invalid = fmt.Sprintf("its peer certificate has the common name %q, and is to have %q", s.Peering.Named, name)
		}
		if s.State != membership.Healthy && !c.refusesPeers(*s) {
			continue // it comes up as it is
		}
		if name := c.demanded(*s); s.Peering.Demands != name || s.Peering.Written != name {
			s.Outdated, s.Unasked = append(s.Outdated, demandReason(name)), false
		}
	}
}

// demandReason says what a member comes to demand.
func demandReason(name string) string {
	if name == "" {
		return "comes to take peers of any common name"
	}
	return fmt.Sprintf("comes to take only peers of the common name %q", name)
}

// refusesPeers tells whether a member demands what is not desired, and another member lacks.
func (c *planner) refusesPeers(s membership.MemberStatus) bool {
	_, refused := first(c.Members, func(other membership.MemberStatus) bool {
		return counts(other) && other.Peering.Known && other.Member != s.Member && other.Peering.Named != s.Peering.Demands
	})
	return s.Peering.Demands != "" && s.Peering.Demands != c.PeerName && refused
}

// limitPeers defers what is left of the two moves, as long as it is not known what a member has.
func (c *planner) limitPeers() (membership.Step, bool) {
	_, left := first(c.Members, func(s membership.MemberStatus) bool {
		return s.Desired && serves(s) && s.Peering.Known && s.Peering.Named != "" && (s.Peering.Demands != c.PeerName || s.Peering.Named != cmp.Or(c.PeerName, s.Name))
	})
	if !left || c.peers.unknown == "" {
		return membership.Step{}, false
	}
	c.deferred = append(c.deferred, &membership.Refusal{Summary: "Common names of peers stay as they are", Attribute: "peer_common_name", Waits: true,
		Rule:   fmt.Sprintf("members go on with the common names that they have: it is not known which one the peer certificate of %s has, or which one it demands", c.peers.unknown),
		Remedy: cmp.Or(c.downVoters(), c.bringBack())})
	return membership.Step{}, false
}

// providePeering names in a step the common names of its member's peer certificate and of the peers that it takes.
func (c *planner) providePeering(step membership.Step) membership.Step {
	s := c.Member(step.Subject())
	if s == nil {
		return step
	}
	switch step.Kind {
	case membership.Configure, membership.RenewCertificates, membership.Join, membership.Readdress, membership.Recover:
		if !step.Keeps {
			step.Named = c.named(*s)
		}
	}
	switch step.Kind {
	case membership.Configure, membership.Roll, membership.Join:
		step.Demands = c.demanded(*s)
	case membership.Promote, membership.Readdress, membership.Recover: // as its flags say already
		step.Demands = s.Peering.Written
	}
	return step
}

// peer applies a step to what a member's peers know it by, and to what it demands of them.
func peer(s *membership.MemberStatus, did membership.Step) {
	switch did.Kind {
	case membership.Configure, membership.RenewCertificates, membership.Join, membership.Readdress, membership.Recover:
		if !did.Keeps {
			s.Peering.Named = cmp.Or(did.Named, s.Name)
		}
	}
	switch did.Kind {
	case membership.Configure, membership.Roll, membership.Join:
		s.Peering.Known, s.Peering.Written, s.Peering.Demands = true, did.Demands, did.Demands
	case membership.Stop, membership.Recover:
		s.Peering.Demands = s.Peering.Written
	case membership.Readdress:
		if !s.There || s.State != membership.Healthy { // else it is not restarted
			s.Peering.Demands = s.Peering.Written
		}
	case membership.SetAside, membership.Retire:
		s.Peering = membership.Peering{}
	}
}
