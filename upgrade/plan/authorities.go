package plan

import (
	"cmp"
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
		c.reissue(s)
	}
}

// reissue has a member's certificates renewed that are due, or of another authority than the one that is to sign. They hold until
// then, so that this waits until every member is known to trust the authority.
func (c *planner) reissue(s *membership.MemberStatus) {
	if s.Due != "" && s.Invalid == "" && s.State == membership.Healthy && c.canSign() {
		if _, distrusted := c.notTrusting(c.sign); !distrusted || s.Issued.By == c.sign {
			s.Invalid = s.Due
		}
	}
	others := s.Issued.By.Without(c.Signers.First())
	switch {
	case s.Invalid != "":
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
		c.defers(*s, fmt.Sprintf("its certificates are of authority %s, and none of another is issued while %s", others, doubt), remedy)
	case c.sign == c.Signers.First():
		s.Invalid = "they are of authority " + others.String()
	}
}

// isRefused tells whether a member is known to refuse another one's certificates, or will once it is configured.
func (c *planner) isRefused(s membership.MemberStatus) bool {
	_, refused := first(c.Members, func(other membership.MemberStatus) bool {
		return counts(other) && other.Issued != (membership.Issued{}) && !trusts(other, s.Issued.By)
	})
	return refused || s.Issued.By.Without(c.given) != (membership.Authorities{})
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
// still of, unless every member is given others before it comes up. What a member holds that cannot be asked may be of any that
// the others trust.
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

// unknown tells whether a member may run of which it is not known what it holds.
func (c *planner) unknown() bool {
	_, found := first(c.Members, func(s membership.MemberStatus) bool { return counts(s) && s.Issued == (membership.Issued{}) })
	return found
}

// allDown tells whether no member serves, nor may before this run has configured it: each was asked, stays where it is, and has not
// served since it was started.
func (c *planner) allDown() bool {
	_, found := first(c.Members, func(s membership.MemberStatus) bool {
		down := s.State == membership.Stopped || s.State == membership.Blocked || s.State == membership.Unhealthy && !s.Active
		return counts(s) && (!down || !s.Desired || s.From != "" || s.Issued == (membership.Issued{}))
	})
	return !found
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

// able sets which authorities sign by now, of those whose keys are at hand: the first that every member accepts. Where there is
// none, and no member may serve before it was given another, it is the first of all.
func (c *planner) able() {
	all := c.allDown()
	signer := func(candidates []string, of func(membership.Authorities) membership.AuthorityNames) (by, anew membership.AuthorityNames) {
		candidates = slices.DeleteFunc(slices.Clone(candidates), of(c.Ended).Has)
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
}

// accepted tells whether every member accepts a certificate of an authority: those that serve trust it (where nobody does, those
// that could be asked), and so does any other that may come back. What such a one trusts need not be known if another member's
// certificate is of that authority already: no member was given one before all trusted it.
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
	ended := c.Signers.First().Without(c.Signers.First().Without(c.Ended))
	for _, s := range c.Members {
		if s.Desired && c.lacksCertificate(s) && ended != (membership.Authorities{}) {
			return &membership.Refusal{Summary: "The authorities have expired", Attribute: "pki", Member: s.Name, At: s.Address,
				Rule:   fmt.Sprintf("it needs a certificate, and none holds that authority %s of pki signs: it has expired, or is not valid yet", ended),
				Remedy: "give pki another authority, and check the clock of this machine"}
		}
		if s.Desired && c.lacksCertificate(s) {
			return &membership.Refusal{Summary: "The authorities cannot be exchanged yet", Attribute: "pki", Member: s.Name, At: s.Address,
				Rule:   "it needs a certificate, and pki has the key of no authority that the others are known to trust",
				Remedy: c.howToSign()}
		}
	}
	return nil
}

// howToSign says by which authorities a member could be given a certificate now.
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
	stop := fmt.Sprintf("stop all members (systemctl stop etcd@%s on their hosts) and apply: each is given a certificate of the new ones before it is started; nobody is served meanwhile", c.want.Name)
	if able.Peers == "" || able.Clients == "" {
		return cmp.Or(c.downVoters(), stop)
	}
	return fmt.Sprintf("give pki one that they trust, with its key: authority %s, in pki.trusted beside the new ones or in their place; "+
		"apply, and take it out again once all members are healthy and have certificates of the new ones; if that key is gone, %s", able, stop)
}

// lacksCertificate tells whether a member cannot be what is desired without a new certificate: it is none yet, moves, or does not
// come up by what it has.
func (c *planner) lacksCertificate(s membership.MemberStatus) bool {
	switch s.State {
	case membership.Unreachable, membership.Foreign, membership.Blocked:
		return false // it cannot be given any
	}
	if s.Role != membership.Voter || s.HasNothing() || s.From != "" || s.Invalid != "" {
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

// canSign tells whether authorities that the members trust can sign certificates of theirs. A status that does not say anything
// of authorities takes them for granted.
func (c *planner) canSign() bool {
	return c.Trusts == (membership.Authorities{}) || c.sign.Peers != "" && c.sign.Clients != ""
}

// stopForCertificates stops a member that does not serve, and whose process trusts no authority that can sign a certificate of
// its own: it reads the authorities at its start alone. One that is to be configured is stopped for that.
func (c *planner) stopForCertificates() (membership.Step, bool) {
	s, found := first(c.Members, func(s membership.MemberStatus) bool {
		return c.canBringUp(s) && s.State == membership.Unhealthy && s.Invalid != "" && c.canSign() && !trusts(s, c.sign) && !c.mustConfigureFirst(s) && c.mayStopUnhealthy(s)
	})
	if !found {
		return membership.Step{}, false
	}
	if s.Staged == "" {
		return c.stage(s, c.want.Version), true
	}
	if before, needed := c.secure(); needed && len(c.Healthy()) > 0 {
		return before, true
	}
	stop := step(membership.Stop, s)
	stop.To = "it serves nobody, and comes to trust authority " + c.sign.Without(s.Issued.Trusts).String()
	return stop, true
}

// provide says in a step which authorities it is to go by, where they are not simply the desired ones.
func (c *planner) provide(step membership.Step) membership.Step {
	switch step.Kind {
	case membership.Configure, membership.RenewCertificates, membership.Roll, membership.Join, membership.Readdress: // a recovery leaves one member, which has nobody to trust
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
		if !did.Keeps {
			s.Issued.By = signers
		}
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
