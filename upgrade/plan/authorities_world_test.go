package plan_test

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// drawAuthorities draws which authorities are desired, and how far an exchange of them has come: each member trusts the
// new ones before any certificate is of them, and the old ones until none is any more.
func (e *etcd) drawAuthorities(t *rapid.T) {
	desired := rapid.SampledFrom([]string{"", "rotated", "exchanged", "put back", "again", "again rotated", "split", "split rotated"}).Draw(t, "authorities")
	old, both, latest := authorities("old"), authorities("old+new"), authorities("new")
	switch desired {
	case "":
		return
	case "rotated":
		e.trusts, e.signers = both, signers("new", "old")
	case "exchanged":
		e.trusts, e.signers = latest, signers("new")
	case "put back":
		e.trusts, e.signers = old, signers("old")
	case "again":
		e.trusts, e.signers = authorities("newer"), signers("newer")
	case "split": // old is one authority for peers and clients
		e.trusts, e.signers = authorities("new/newer"), membership.Signers{Peers: []string{"new"}, Clients: []string{"newer"}}
	case "split rotated":
		e.trusts, e.signers = authorities("new+old/newer+old"), membership.Signers{Peers: []string{"new", "old"}, Clients: []string{"newer", "old"}}
	case "again rotated":
		e.trusts, e.signers = authorities("newer+new"), signers("newer", "new")
	}
	// The authorities of peers and those of clients are exchanged together, or one of the two stays.
	stays := rapid.SampledFrom([]string{"", "", "peers", "clients"}).Draw(t, "stays")
	kind := func(a membership.Authorities) membership.Authorities {
		switch stays {
		case "peers":
			a.Peers = old.Peers
		case "clients":
			a.Clients = old.Clients
		}
		return a
	}
	e.trusts = kind(e.trusts)
	switch stays {
	case "peers":
		e.signers.Peers = []string{"old"}
	case "clients":
		e.signers.Clients = []string{"old"}
	}
	if before := map[string][]string{"rotated": {"old"}, "exchanged": {"old"}, "again": {"old", "new", "old+new"}, "again rotated": {"new"}}[desired]; before != nil && rapid.IntRange(0, 4).Draw(t, "expired") == 0 {
		e.ended = authorities(rapid.SampledFrom(before).Draw(t, "expired authorities")).Without(e.signers.First())
	}
	phase := rapid.IntRange(0, 3).Draw(t, "phase of the exchange")
	for _, m := range e.list {
		h := e.at(m.address)
		if !h.marker {
			continue
		}
		trusts, by := old, old
		further := rapid.Bool().Draw(t, "further "+m.address)
		switch {
		case phase == 1 && further, phase == 2 && !further:
			trusts = both
		case phase == 2 && further, phase == 3 && !further:
			trusts, by = both, latest
		case phase == 3:
			trusts, by = latest, latest
		}
		h.issued = membership.Issued{By: kind(by), Trusts: kind(trusts), Files: kind(trusts)}
		if h.expired && h.from == "" && rapid.IntRange(0, 3).Draw(t, "of nobody "+m.address) == 0 {
			h.issued.By = membership.Authorities{} // an authority that nobody has any more
		}
		if e.ended.Without(h.issued.By) != e.ended && h.from == "" {
			h.expired, h.broken = true, false // what lies behind that, only the look after it sees
		}
		if phase < 3 && h.running && rapid.IntRange(0, 7).Draw(t, "served "+m.address) == 0 {
			h.serves = kind(old) // it has not taken up what its files have
		}
	}
}

// drawBeside draws what lies beside members' certificates, and is not as desired: their list of revoked certificates,
// or the chain of the authority that has signed them.
func (e *etcd) drawBeside(t *rapid.T) {
	for _, m := range e.list {
		if h := e.at(m.address); h.marker && !h.broken && rapid.IntRange(0, 7).Draw(t, "beside the certificates of "+m.address) == 0 {
			h.beside = rapid.SampledFrom([]string{membership.OldRevocations, membership.OldChain}).Draw(t, "what is beside them")
		}
	}
}

func signers(names ...string) membership.Signers {
	return membership.Signers{Peers: names, Clients: names}
}

// issuedAsDesired is what a member holds and trusts at the end.
func (e *etcd) issuedAsDesired() membership.Issued {
	return membership.Issued{By: e.signers.First(), Trusts: e.trusts, Files: e.trusts}
}

// issue is what a step makes of a member's authorities: its process reads those of its files once, at its start.
func (e *etcd) issue(step membership.Step) {
	h := e.at(step.At)
	e.peer(step)
	given := e.issuedAsDesired()
	switch step.Kind {
	case membership.Stop, membership.Roll, membership.Join, membership.Readdress, membership.Recover:
		h.serves = membership.Authorities{} // a process that starts reads its files
	}
	if step.Trusts != (membership.Authorities{}) {
		given.Trusts, given.Files = step.Trusts, step.Trusts
	}
	if step.Signers != (membership.Authorities{}) {
		given.By = step.Signers
	}
	switch step.Kind {
	case membership.Configure, membership.Join, membership.Readdress, membership.RenewCertificates:
		h.beside = ""
	case membership.Recover:
		if !step.Keeps {
			h.beside = ""
		}
	}
	switch step.Kind {
	case membership.Configure, membership.Join, membership.Readdress:
		if step.Keeps {
			given.By = h.issued.By
		} else {
			h.expired = false
		}
		h.issued = given
	case membership.Recover:
		switch {
		case !step.Keeps:
			h.issued, h.expired = given, false
		case e.rewrites(step.At):
			h.issued.Trusts, h.issued.Files = given.Trusts, given.Files
		}
	case membership.RenewCertificates:
		if h.issued.Files = given.Files; !step.Keeps {
			h.issued.By, h.expired = given.By, false
		}
		if !h.running {
			h.issued.Trusts = given.Files
		}
	case membership.Roll:
		h.issued.Trusts, h.issued.Files = given.Trusts, given.Files
	case membership.Start:
		if !h.running {
			h.issued.Trusts, h.serves = h.issued.Files, membership.Authorities{}
		}
	case membership.Stop:
		h.issued.Trusts = h.issued.Files
	}
}

// checkSigners holds that no authority signs that has expired.
func (e *etcd) checkSigners(step membership.Step) error {
	by := step.Signers
	if by == (membership.Authorities{}) {
		by = e.signers.First()
	}
	if step.Signs() && e.ended.Without(by) != e.ended {
		return fmt.Errorf("it has certificates signed by %s, which has expired", by)
	}
	return nil
}

// mustSign tells whether a member that is recovered needs other certificates for that.
func (e *etcd) mustSign(address string) bool {
	h := e.at(address)
	return h.from != "" || h.expired || e.rewrites(address) && h.issued.By != e.signers.First()
}

// estranged names two members that run and do not trust each other. A learner that is to go need not be served.
func (e *etcd) estranged() error {
	for _, a := range e.list {
		for _, b := range e.list {
			if (a.learner || b.learner) && !(e.desired(a.address) && e.desired(b.address)) {
				continue
			}
			by, trusts := e.at(a.address).issued.By, e.at(b.address).issued.Trusts
			if serves := e.at(a.address).serves; serves != (membership.Authorities{}) {
				by = serves
			}
			if e.up(a) && e.up(b) && by.Without(trusts) != (membership.Authorities{}) {
				return fmt.Errorf("%s has certificates of %s, and %s trusts %s", a.address, by, b.address, trusts)
			}
		}
	}
	return nil
}

// notYet tells whether a refusal says that the authorities cannot be exchanged now, and follows its advice: the
// authority that it names is given with its key, beside those that are desired or in their place.
func (e *etcd) notYet(t *rapid.T, err error) bool {
	refusal, is := err.(*membership.Refusal)
	if !is || refusal.Attribute != "pki" {
		return false
	}
	only := strings.HasPrefix(refusal.Remedy, "stop all members") // no authority that they trust holds
	if !only && e.ended != (membership.Authorities{}) && strings.Contains(refusal.Remedy, "then stop all members") {
		t.Skip("it takes another configuration, or hosts that are brought back")
	}
	if !e.halted && (only || strings.Contains(refusal.Remedy, "is gone, stop all members") && rapid.Bool().Draw(t, "stop all")) {
		e.halted = true // nobody does that twice
		for _, m := range e.list {
			if h := e.at(m.address); !h.silent && !h.taken {
				h.running, h.ready = false, false
			}
		}
		e.heartbeat()
		if planned, err := plan.Change(e.status(), e.want); err == nil && planned.Unsigned != nil {
			t.Fatalf("all were stopped, and the advice was no way on: %v\nin %s", planned.Unsigned, show(e.status()))
		}
		return true
	}
	var peer, client string
	_, advice, _ := strings.Cut(refusal.Remedy, "authority ")
	if n, _ := fmt.Sscanf(strings.ReplaceAll(advice, ",", " "), "%s for peers %s for clients", &peer, &client); n < 2 ||
		slices.Contains(e.signers.Peers, peer) && slices.Contains(e.signers.Clients, client) {
		t.Fatalf("the advice is no way on: %s\nin %s", err, show(e.status()))
	}
	if rapid.Bool().Draw(t, "in their place") {
		e.trusts, e.signers = membership.Authorities{}, membership.Signers{}
	}
	e.trusts = e.trusts.With(membership.Authorities{Peers: membership.AuthorityNames(peer), Clients: membership.AuthorityNames(client)})
	add := func(names []string, name string) []string {
		if slices.Contains(names, name) {
			return names
		}
		return append(slices.Clone(names), name)
	}
	e.signers = membership.Signers{Peers: add(e.signers.Peers, peer), Clients: add(e.signers.Clients, client)}
	return true
}
