package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// Authorities are exchanged in three moves, so that members trust each other throughout and serve clients of both
// authorities. First every member comes to trust the new authorities beside the old ones, which takes a restart each.
// Then certificates of the new authorities are issued, without a restart. Then the old authorities are removed, with
// another restart each, unless they are to stay trusted. The next move follows from what the members hold and trust, so
// an interrupted run continues where it was.

// authorities compares what the members hold and trust with what is desired. A difference makes members outdated, or
// their certificates invalid.
func (c *planner) authorities() {
	c.compareServed()
	c.compareAuthorities()
}

// WithAuthorities returns a status that includes how the members' authorities differ from what is desired.
func WithAuthorities(p membership.ClusterStatus) membership.ClusterStatus {
	c := newPlanner(p, membership.Spec{})
	c.compareServed()
	c.compareAuthorities()
	return c.ClusterStatus
}

// compareServed makes members outdated that serve other certificates than their files have, unless they are restarted
// anyway. No release of the provider is why, so that nothing holds that back.
func (c *planner) compareServed() {
	c.ClusterStatus = c.Clone()
	for i := range c.Members {
		s := &c.Members[i]
		if s.State != membership.Healthy || len(s.Outdated) > 0 && !s.Unasked || s.From != "" && !s.There {
			continue
		}
		for _, serves := range []string{s.Serves.Peers, s.Serves.Clients} {
			if serves != "" {
				s.Outdated, s.Unasked = append(s.Outdated, serves), false
			}
		}
	}
}

// compareAuthorities records how the members' authorities, and their peers' common names, differ from the desired ones.
func (c *planner) compareAuthorities() {
	c.comparePeers()
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
		if given := c.givenTo(s.Member, false); s.Issued.Trusts != given {
			s.Outdated, s.Unasked = append(s.Outdated, trustReasons(*s, given)...), false
		} else if s.Issued.Files != given && !s.LacksCertificates() {
			s.Invalid = "its files name other authorities than it trusts"
		}
		c.reissue(s)
	}
}

// reissue marks certificates for renewal that are due, or of another authority than the one that is to sign. They are
// valid until then, so this waits until every member is known to trust the authority.
func (c *planner) reissue(s *membership.MemberStatus) {
	if s.State == membership.Healthy && s.Serves != (membership.Served{}) && !s.LacksCertificates() {
		return // it does not take up what its files have, and is restarted first
	}
	if s.Due != "" && !s.LacksCertificates() && s.State == membership.Healthy && c.canSign() {
		if _, distrusted := c.notTrusting(c.sign); !distrusted || s.Issued.By == c.sign {
			s.Invalid = s.Due
		}
	}
	others := s.Issued.By.Without(c.Signers.First())
	switch {
	case s.LacksCertificates():
		return
	case s.State != membership.Healthy:
		if c.canSign() && s.Issued.By != c.sign && c.isRefused(*s) { // else that is not what it is down by
			s.Invalid = "they are of authority " + s.Issued.By.String()
		}
		return
	case others == (membership.Authorities{}):
		return
	}
	switch who, distrusted := c.notTrusting(c.Signers.First()); {
	case distrusted && serves(who) && who.Desired: // it is restarted first
	case distrusted:
		doubt, remedy := fmt.Sprintf("it is not known whether %s trusts that", who), c.bringBack()
		if who.Issued != (membership.Issued{}) {
			doubt, remedy = fmt.Sprintf("%s does not trust that", who), cmp.Or(c.downVoters(), "let that member leave first: see what keeps it")
		}
		c.defers(*s, membership.NotReissued, fmt.Sprintf("its certificates are of authority %s, and none of another is issued while %s", others, doubt), remedy)
	case c.sign == c.Signers.First():
		s.Invalid = "they are of authority " + others.String()
	}
}

// isRefused tells whether a member is known to refuse another member's certificates, or will refuse them once it is
// configured.
func (c *planner) isRefused(s membership.MemberStatus) bool {
	_, refused := first(c.Members, func(other membership.MemberStatus) bool {
		return counts(other) && other.Issued != (membership.Issued{}) && !trusts(other, s.Issued.By)
	})
	return refused || s.Issued.By.Without(c.given) != (membership.Authorities{})
}

// trustReasons returns which authorities a member comes to trust, and which it no longer trusts.
func trustReasons(s membership.MemberStatus, given membership.Authorities) (reasons []string) {
	if more := given.Without(s.Issued.Trusts); more != (membership.Authorities{}) {
		reasons = append(reasons, "comes to trust authority "+more.String())
	}
	if fewer := s.Issued.Trusts.Without(given); fewer != (membership.Authorities{}) {
		reasons = append(reasons, "no longer trusts authority "+fewer.String())
	}
	return reasons
}

// counts tells whether a member and the others have to trust each other: it is in the list, and may run.
func counts(s membership.MemberStatus) bool {
	return s.Role != membership.Absent && s.State != membership.Missing && s.State != membership.Lost
}

// needed returns the authorities that every member has to trust: the desired ones, and those of the members' present
// certificates, unless every member gets others before it comes up. The certificates of a member that could not be
// observed may be of any authority that the others trust.
func (c *planner) needed() membership.Authorities {
	needed, unknown := c.Trusts, c.unknown()
	for _, s := range c.Members {
		if !counts(s) {
			continue
		}
		by := s.Issued.By
		if c.anew.Peers != "" {
			by.Peers = ""
		}
		if c.anew.Clients != "" {
			by.Clients = ""
		}
		needed = needed.With(by)
		if unknown {
			needed = needed.With(s.Issued.Trusts)
		}
	}
	return needed
}

// givenTo returns the authorities that a member is to trust by now: those that are needed, and those that it trusts
// already as long as another member serves a certificate that its file does not have, which may be of any of them. Its
// restart ends that. One that joins comes to trust what any member does until then.
func (c *planner) givenTo(m membership.Member, joins bool) membership.Authorities {
	var peers, clients bool // another member serves a certificate that its file does not have
	var kept membership.Authorities
	for _, s := range c.Members {
		if !counts(s) {
			continue
		}
		if s.Member != m {
			peers, clients = peers || s.Serves.Peers != "", clients || s.Serves.Clients != ""
		}
		if s.Member == m || joins {
			kept = kept.With(s.Issued.Trusts)
		}
	}
	if !peers {
		kept.Peers = ""
	}
	if !clients {
		kept.Clients = ""
	}
	return c.given.With(kept)
}

// unknown tells whether a member may run whose authorities are not known.
func (c *planner) unknown() bool {
	_, found := first(c.Members, func(s membership.MemberStatus) bool { return counts(s) && s.Issued == (membership.Issued{}) })
	return found
}

// allDown tells whether no member serves, or may serve before this run has configured it: each member was observed,
// stays where it is, and has not served since its start.
func (c *planner) allDown() bool {
	_, found := first(c.Members, func(s membership.MemberStatus) bool {
		down := s.State == membership.Stopped || s.State == membership.Blocked || s.State == membership.Unhealthy && !s.Active
		return counts(s) && (!down || !s.Desired || s.From != "" || s.Issued == (membership.Issued{}))
	})
	return !found
}

// remove defers the removal of authorities that members still trust beside the desired ones, as long as another member
// has certificates of them, or may have.
func (c *planner) remove() (membership.Step, bool) {
	var left membership.Authorities
	for _, s := range c.Members {
		if given := c.givenTo(s.Member, false); s.Desired && serves(s) && s.Issued.Trusts == given {
			left = left.With(given.Without(c.Trusts)) // for the others, another move of the exchange comes first
		}
	}
	if c.Trusts == (membership.Authorities{}) || left == (membership.Authorities{}) {
		return membership.Step{}, false
	}
	why := "other members have certificates of it, and do not get others yet"
	if who, unknown := first(c.Members, func(s membership.MemberStatus) bool { return counts(s) && s.Issued == (membership.Issued{}) }); unknown {
		why = fmt.Sprintf("it is not known whether %s has certificates of it", who)
	} else if who, serves := first(c.Members, func(s membership.MemberStatus) bool { return counts(s) && s.Serves != (membership.Served{}) }); serves {
		why = fmt.Sprintf("%s goes on serving a certificate that its file does not have, and that may be of it, until it is restarted", who)
	}
	c.deferred = append(c.deferred, &membership.Refusal{Summary: membership.StillTrusted, Attribute: "pki",
		Rule:   fmt.Sprintf("members go on trusting authority %s, which pki does not have, and accept every certificate of it: %s", left, why),
		Remedy: cmp.Or(c.downVoters(), "see what keeps the other members, and apply again")})
	return membership.Step{}, false
}

func (c *planner) nobodyServes() bool {
	_, found := first(c.Members, serves)
	return !found
}

func serves(s membership.MemberStatus) bool {
	return s.Role != membership.Absent && s.State == membership.Healthy
}

func peersOf(a membership.Authorities) membership.AuthorityNames   { return a.Peers }
func clientsOf(a membership.Authorities) membership.AuthorityNames { return a.Clients }

// able sets which authorities sign now, out of those whose keys are available: the first one that every member accepts.
// If there is none, and no member may serve before it gets another authority, it is the first of all. Where all have
// expired, steps name those nevertheless, and ChangeSigning refuses what they would sign.
func (c *planner) able() {
	all := c.allDown()
	signer := func(candidates []string, of func(membership.Authorities) membership.AuthorityNames) (by, anew membership.AuthorityNames) {
		if valid := slices.DeleteFunc(slices.Clone(candidates), of(c.Ended).Has); len(valid) > 0 {
			candidates = valid
		}
		if len(candidates) == 0 {
			return "", ""
		}
		_, begun := first(c.Members, func(s membership.MemberStatus) bool { return counts(s) && of(s.Issued.By).Has(candidates[0]) })
		for i, name := range candidates {
			if (i == 0 || !all || !begun) && c.accepted(name, of) {
				return membership.AuthorityNames(name), ""
			}
		}
		if all {
			by = membership.AuthorityNames(candidates[0])
		}
		return by, by
	}
	c.sign.Peers, c.anew.Peers = signer(c.Signers.Peers, peersOf)
	c.sign.Clients, c.anew.Clients = signer(c.Signers.Clients, clientsOf)
	if c.Unsigned {
		c.anew = membership.Authorities{} // no member is given a certificate
	}
}

// accepted tells whether every member accepts a certificate of an authority. Members that serve have to trust it (if
// nobody serves, those that were observed), and so does any other member that may come back. What such a member trusts
// need not be known if another member's certificate is already of that authority: no member got one before all trusted
// it.
func (c *planner) accepted(name string, of func(membership.Authorities) membership.AuthorityNames) bool {
	decides := serves
	if c.nobodyServes() {
		decides = func(s membership.MemberStatus) bool { return counts(s) && s.Issued != (membership.Issued{}) }
	}
	_, inUse := first(c.Members, func(s membership.MemberStatus) bool { return decides(s) && of(s.Issued.By).Has(name) })
	_, refused := first(c.Members, func(s membership.MemberStatus) bool {
		trusted := of(s.Issued.Trusts)
		return counts(s) && !trusted.Has(name) && (!inUse || decides(s) && trusted != "")
	})
	return !refused
}

// notTrusting returns a member that is not known to trust these authorities.
func (c *planner) notTrusting(authorities membership.Authorities) (membership.MemberStatus, bool) {
	return first(c.Members, func(s membership.MemberStatus) bool { return counts(s) && !trusts(s, authorities) })
}

// trusts tells whether a member is known to trust these authorities.
func trusts(s membership.MemberStatus, authorities membership.Authorities) bool {
	return authorities.Without(s.Issued.Trusts) == (membership.Authorities{})
}

// leaveUnsignable leaves members alone, and defers them, that need a certificate in the middle of an exchange of
// authorities while no authority that the others trust can sign it. The old authority signs until they trust the new
// one, if its key is still available. It returns these members.
func (c *planner) leaveUnsignable() (left []membership.Member) {
	if c.canSign() {
		return nil
	}
	marked := c.Clone()
	for i := range marked.Members {
		s := &marked.Members[i]
		if !s.Desired || s.Failed != "" || !c.lacksCertificate(*s) {
			continue
		}
		s.Failed = "it needs a certificate, and pki has the key of no authority that the others are known to trust"
		c.deferAs(&membership.Refusal{Summary: membership.NotExchangeable, Attribute: "pki", Member: s.Name, At: s.Address, Rule: s.Failed, Remedy: c.howToSign()})
		left = append(left, s.Member)
	}
	c.ClusterStatus = marked
	return left
}

// howToSign says which authorities could sign a member's certificate now.
func (c *planner) howToSign() string {
	var known, able membership.Authorities
	for _, s := range c.Members {
		known = known.With(s.Issued.Trusts).With(s.Issued.By)
	}
	known = known.Without(c.Ended)
	able.Peers, able.Clients = c.sign.Peers, c.sign.Clients
	for _, name := range known.Peers.All() {
		if able.Peers == "" && c.accepted(name, peersOf) {
			able.Peers = membership.AuthorityNames(name)
		}
	}
	for _, name := range known.Clients.All() {
		if able.Clients == "" && c.accepted(name, clientsOf) {
			able.Clients = membership.AuthorityNames(name)
		}
	}
	if able.Peers == "" || able.Clients == "" {
		unknown := &planner{ClusterStatus: c.Clone()} // what they trust is of use only where nobody knows it yet
		unknown.Members = slices.DeleteFunc(unknown.Members, func(s membership.MemberStatus) bool { return !counts(s) || s.Issued != (membership.Issued{}) })
		return cmp.Or(unknown.downVoters(), c.howToStop())
	}
	return fmt.Sprintf("give pki one that they trust, with its key: authority %s, in pki.trusted beside the new ones or in their place; "+
		"apply, and take it out again once all members are healthy and have certificates of the new ones; if that key is gone, %s", able, c.howToStop())
}

// howToStop says how members get certificates of authorities that none of them trusts: all are stopped for it (see
// allDown), so each has to be known, and to stay where it is.
func (c *planner) howToStop() string {
	var before, unknown []string
	moves := false
	for _, s := range c.Members {
		switch {
		case !counts(s):
			continue
		case s.Issued == (membership.Issued{}):
			unknown = append(unknown, s.String())
		}
		moves = moves || !s.Desired || s.From != ""
	}
	if len(unknown) > 0 {
		before = append(before, "bring back "+strings.Join(unknown, ", "))
	}
	if moves {
		before = append(before, "let the configuration have the members that there are, at the addresses where the cluster knows them")
	}
	return strings.Join(append(before, "stop all members"), ", then ") + fmt.Sprintf(" (systemctl stop etcd@%s on their hosts) and apply: "+
		"each is given a certificate of the new ones before it is started; nobody is served meanwhile", c.want.Name)
}

// lacksCertificate tells whether a member needs a new certificate to become what is desired: it has not joined, moves,
// or does not come up with the present one.
func (c *planner) lacksCertificate(s membership.MemberStatus) bool {
	switch s.State {
	case membership.Unreachable, membership.Foreign, membership.Blocked:
		return false // it cannot be given any
	}
	if s.Role != membership.Voter || s.HasNothing() || s.From != "" || s.NeedsCertificates() {
		return true
	}
	if s.State == membership.Healthy {
		return false
	}
	_, estranged := first(c.Healthy(), func(other membership.MemberStatus) bool {
		return !trusts(other, s.Issued.By) || !trusts(s, other.Issued.By)
	})
	return estranged
}

// canSign tells whether authorities that the members trust can sign the members' certificates. It returns true for a
// status that says nothing about authorities.
func (c *planner) canSign() bool {
	return c.Trusts == (membership.Authorities{}) || c.sign.Peers != "" && c.sign.Clients != ""
}

// provide names in a step the authorities that it uses, if they are not simply the desired ones.
func (c *planner) provide(step membership.Step) membership.Step {
	if s := c.Member(step.Subject()); step.Kind == membership.RenewCertificates && step.Keeps && runs(*s) {
		// If its files got other authorities beside that, nobody could tell any more which ones its process trusts.
		if s.Issued.Files != c.Trusts {
			step.Trusts = s.Issued.Files
		}
		return step
	}
	switch step.Kind {
	case membership.Configure, membership.RenewCertificates, membership.Roll, membership.Join, membership.Readdress:
		// A recovery is left out: it leaves one member, which has nobody to trust.
		given := c.givenTo(step.Subject(), step.Kind == membership.Join)
		if given != c.Trusts {
			step.Trusts = given
		}
		if s := c.Member(step.Subject()); step.Kind == membership.RenewCertificates && s != nil && s.State == membership.Healthy && s.Issued.Trusts != given && s.Issued.Trusts == s.Issued.Files {
			step.Trusts = s.Issued.Files // a file unlike what the process has read would hide what the process trusts
		}
		switch {
		case step.Kind == membership.Roll:
		case !c.canSign() || step.Kind == membership.Configure && c.comesUpUnsigned(*c.Member(step.Subject())):
			step.Keeps = true
		case c.sign != c.Signers.First():
			step.Signers = c.sign
		}
	}
	return step
}

// comesUpUnsigned tells whether a member that is down is configured with the certificates that it has, since none can
// be signed now: they are valid, and nobody refuses them.
func (c *planner) comesUpUnsigned(s membership.MemberStatus) bool {
	return c.Unsigned && s.From == "" && !s.NeedsCertificates() && !c.isRefused(s)
}
