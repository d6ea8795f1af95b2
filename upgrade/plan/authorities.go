package plan

import (
	"fmt"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Authorities are exchanged in three moves, so that members trust each other throughout, and clients of either authority are
// served: every member comes to trust the new authorities beside the old, which takes a restart each; then certificates of
// the new ones are issued, which takes none; then the old ones go, with another restart, unless they are to stay trusted.
// Which move is next follows from what the members hold and trust, so that a run which was cut short goes on where it was.

// authorities compares what the members hold and trust with what is desired. What differs makes them outdated or their
// certificates invalid.
func (c *planner) authorities() error {
	if err := c.exchangeable(); err != nil {
		return err
	}
	c.compareAuthorities()
	return nil
}

// WithAuthorities is a status that also says of members what differs of their authorities from what is desired.
func WithAuthorities(p membership.ClusterStatus) membership.ClusterStatus {
	c := newPlanner(p, membership.Spec{})
	c.compareAuthorities()
	return c.ClusterStatus
}

// compareAuthorities says of members what differs of their authorities. A status that does not say which are desired has nothing
// to compare.
func (c *planner) compareAuthorities() {
	if c.Trusts == (membership.Authorities{}) {
		return
	}
	c.ClusterStatus = c.Clone()
	for i := range c.Members {
		s := &c.Members[i]
		if !s.Desired || s.Issued == (membership.Issued{}) || s.From != "" { // a re-address gives it all of that
			continue
		}
		if s.State != membership.Healthy && !c.canSign() {
			continue // it comes up as it is
		}
		if s.Issued.Trusts != c.given {
			s.Outdated, s.Unasked = append(s.Outdated, c.trustReasons(*s)...), false
		} else if s.Issued.Files != c.given && s.Invalid == "" {
			s.Invalid = "its files name other authorities than it trusts"
		}
		who, distrusted := c.notTrusting(c.sign)
		if s.Due != "" && s.Invalid == "" && s.State == membership.Healthy && c.canSign() && (!distrusted || s.Issued.By == c.sign) {
			s.Invalid = s.Due
		}
		others, refused := s.Issued.By.Without(c.Signers.First()), s.Issued.By.Without(c.given)
		if others == (membership.Authorities{}) || s.Invalid != "" || c.sign != c.Signers.First() {
			continue
		}
		if s.State != membership.Healthy && refused == (membership.Authorities{}) {
			continue // that is not what it is down by
		}
		if distrusted {
			c.defers(*s, fmt.Sprintf("its certificates are of authority %s, and none of another is issued while it is not known whether %s trusts that", others, who), c.bringBack())
			continue
		}
		s.Invalid = "they are of authority " + others.String()
	}
}

// trustReasons say which authorities a member comes to trust, and which no longer.
func (c *planner) trustReasons(s membership.MemberStatus) (reasons []string) {
	if more := c.given.Without(s.Issued.Trusts); more != (membership.Authorities{}) {
		reasons = append(reasons, "comes to trust authority "+more.String())
	}
	if fewer := s.Issued.Trusts.Without(c.given); fewer != (membership.Authorities{}) {
		reasons = append(reasons, "no longer trusts authority "+fewer.String())
	}
	return reasons
}

// counts tells whether a member has to trust the others, and they it: it is in the list, and may run.
func counts(s membership.MemberStatus) bool {
	return s.Role != membership.Absent && s.State != membership.Missing && s.State != membership.Lost
}

// needed are the authorities that every member has to trust: the desired ones, and those that a member's certificates are
// still of. What a member holds that cannot be asked may be of any that the others trust.
func (c *planner) needed() membership.Authorities {
	needed, unknown := c.Trusts, c.unknown()
	for _, s := range c.Members {
		if !counts(s) {
			continue
		}
		needed = needed.With(s.Issued.By)
		if unknown {
			needed = needed.With(s.Issued.Trusts)
		}
	}
	return needed
}

// unknown tells whether a member may run of which it is not known what it holds.
func (c *planner) unknown() bool {
	_, found := first(c.Members, func(s membership.MemberStatus) bool { return counts(s) && s.Issued == (membership.Issued{}) })
	return found
}

func (c *planner) nobodyServes() bool {
	_, found := first(c.Members, serves)
	return !found
}

func serves(s membership.MemberStatus) bool {
	return s.Role != membership.Absent && s.State == membership.Healthy
}

// able are the authorities to sign by now: of those whose keys are at hand the first that all members trust which serve, or,
// where none does, all that can be asked. Where no member serves, and they trust none of these, it is the first of all if every
// member could be asked and stays: each is given the new one before it comes up. Empty: there is none.
func (c *planner) able() membership.Authorities {
	return membership.Authorities{
		Peers:   c.firstTrusted(c.Signers.Peers, func(s membership.MemberStatus) membership.AuthorityNames { return s.Issued.Trusts.Peers }),
		Clients: c.firstTrusted(c.Signers.Clients, func(s membership.MemberStatus) membership.AuthorityNames { return s.Issued.Trusts.Clients }),
	}
}

func (c *planner) firstTrusted(candidates []string, trusts func(membership.MemberStatus) membership.AuthorityNames) membership.AuthorityNames {
	decides, nobody := serves, c.nobodyServes()
	if nobody {
		decides = func(s membership.MemberStatus) bool { return counts(s) && s.Issued != (membership.Issued{}) }
	}
	for _, name := range candidates {
		if !slices.ContainsFunc(c.Members, func(s membership.MemberStatus) bool { return decides(s) && !trusts(s).Has(name) }) {
			return membership.AuthorityNames(name)
		}
	}
	_, kept := first(c.Members, func(s membership.MemberStatus) bool { return counts(s) && !s.Desired })
	if nobody && !kept && !c.unknown() && len(candidates) > 0 {
		return membership.AuthorityNames(candidates[0])
	}
	return ""
}

// notTrusting is a member that is not known to trust these authorities.
func (c *planner) notTrusting(authorities membership.Authorities) (membership.MemberStatus, bool) {
	return first(c.Members, func(s membership.MemberStatus) bool { return counts(s) && !trusts(s, authorities) })
}

// trusts tells whether a member is known to trust these authorities.
func trusts(s membership.MemberStatus, authorities membership.Authorities) bool {
	return authorities.Without(s.Issued.Trusts) == (membership.Authorities{})
}

// exchangeable refuses an exchange of authorities where a member needs a certificate meanwhile, and no authority can sign it
// that the others trust. Where the old one's key is at hand still, it signs until they trust the new one.
func (c *planner) exchangeable() error {
	if c.canSign() {
		return nil
	}
	for _, s := range c.Members {
		if s.Desired && c.lacksCertificate(s) {
			return &membership.Refusal{Summary: "The authorities cannot be exchanged yet", Attribute: "pki", Member: s.Name, At: s.Address,
				Rule:   "it needs a certificate that the others trust, and they do not trust the new authorities yet, nor is the key of the old ones in pki",
				Remedy: "put back the pki that the cluster was applied with last, and apply; then exchange the authorities, on a cluster whose members are all healthy"}
		}
	}
	return nil
}

// lacksCertificate tells whether a member cannot be what is desired without a new certificate: it is none yet, moves, or does not
// come up by what it has.
func (c *planner) lacksCertificate(s membership.MemberStatus) bool {
	if s.Role != membership.Voter || s.HasNothing() || s.From != "" || s.Invalid != "" {
		return true
	}
	if s.State == membership.Healthy || s.State == membership.Unreachable {
		return false
	}
	_, estranged := first(c.Healthy(), func(other membership.MemberStatus) bool {
		return !trusts(other, s.Issued.By) || !trusts(s, other.Issued.By)
	})
	return estranged
}

// canSign tells whether authorities that the members trust can sign certificates of theirs. A status that does not say anything
// of authorities takes them for granted.
func (c *planner) canSign() bool {
	return c.Trusts == (membership.Authorities{}) || c.sign.Peers != "" && c.sign.Clients != ""
}

// provide says in a step which authorities it is to go by, where they are not simply the desired ones.
func (c *planner) provide(step membership.Step) membership.Step {
	switch step.Kind {
	case membership.Configure, membership.RenewCertificates, membership.Roll, membership.Join, membership.Readdress, membership.Recover:
		if c.given != c.Trusts {
			step.Trusts = c.given
		}
		switch {
		case step.Kind == membership.Roll:
		case !c.canSign():
			step.Keeps = true
		case c.sign != c.Signers.First():
			step.Signers = c.sign
		}
	}
	return step
}

// issue is what becomes of a member's authorities by a step that gives it some.
func issue(p membership.ClusterStatus, s *membership.MemberStatus, did membership.Step) {
	trusts, signers := did.Trusts, did.Signers
	if trusts == (membership.Authorities{}) {
		trusts = p.Trusts
	}
	if signers == (membership.Authorities{}) {
		signers = p.Signers.First()
	}
	switch s.Issued.Files = trusts; did.Kind {
	case membership.Roll:
		s.Issued.Trusts = trusts
	case membership.RenewCertificates:
		s.Issued.By = signers
		if s.State == membership.Stopped {
			s.Issued.Trusts = trusts
		}
	case membership.Readdress:
		s.Issued.By = signers
		if !s.There || s.State != membership.Healthy { // else it is not restarted
			s.Issued.Trusts = trusts
		}
	default:
		if s.Issued.Trusts = trusts; !did.Keeps {
			s.Issued.By = signers
		}
	}
}
