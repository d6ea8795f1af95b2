package bootstrap

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// authorities are certificates of authorities, each once, in a fixed order.
type authorities []*x509.Certificate

// parseAuthorities returns the authorities of a bundle, PEM, or none if it cannot be read.
func parseAuthorities(bundle string) authorities {
	parsed, err := cert.Parse([]byte(bundle))
	if err != nil {
		return nil
	}
	return parsed
}

// names returns the set of the authorities' names.
func (a authorities) names() membership.AuthorityNames {
	var names []string
	for _, authority := range a {
		names = append(names, cert.Name(authority))
	}
	return membership.NamesOf(names...)
}

// with returns the authorities, followed by those of others that are not among them.
func (a authorities) with(others authorities) authorities {
	all := slices.Clone(a)
	for _, other := range others {
		if !slices.ContainsFunc(all, other.Equal) {
			all = append(all, other)
		}
	}
	return all
}

// in returns the authorities that are also among others.
func (a authorities) in(others authorities) authorities {
	return slices.DeleteFunc(slices.Clone(a), func(authority *x509.Certificate) bool { return !slices.ContainsFunc(others, authority.Equal) })
}

// signed returns the first authority that has signed a certificate, or "" if none of these has.
func (a authorities) signed(leaf *x509.Certificate) membership.AuthorityNames {
	for _, authority := range a {
		if leaf.CheckSignatureFrom(authority) == nil {
			return membership.AuthorityNames(cert.Name(authority))
		}
	}
	return ""
}

// trust holds the authorities that concern the cluster's members: the desired ones first, then those that hosts have.
type trust struct{ peers, clients authorities }

// trust collects the authorities that concern the cluster's members.
func (c Cluster) trust(owner string, reports Reports) trust {
	known := trust{parseAuthorities(c.PeerCA), parseAuthorities(c.ClientCA)}
	for _, m := range c.AllMembers(reports) {
		if o := reports[m].Observation; o != nil && o.Marker != nil && o.Marker.Owner == owner {
			peers, clients := Held(o)
			known.peers, known.clients = known.peers.with(parseAuthorities(peers)), known.clients.with(parseAuthorities(clients))
		}
	}
	return known
}

// of returns the authorities that may have signed a key's certificate.
func (t trust) of(key string) authorities {
	return api.ForKey(key, t.peers, t.clients)
}

// desiredAuthorities returns the authorities that members are to trust, and which of these sign at now: not one that
// has ended while another can sign in its place.
func (c Cluster) desiredAuthorities(now time.Time) (membership.Authorities, membership.Signers) {
	peers, clients := parseAuthorities(c.PeerCA), parseAuthorities(c.ClientCA)
	return membership.Authorities{Peers: peers.names(), Clients: clients.names()},
		membership.Signers{Peers: peers.signers(c.Signers.Peers, now, c.Chains), Clients: clients.signers(c.Signers.Clients, now, c.Chains)}
}

// signers returns which authorities sign at now: of those whose keys are at hand, or the first one where no keys are
// known, the ones that have not ended; if all have, all.
func (a authorities) signers(atHand []string, now time.Time, chains map[string]string) []string {
	names := slices.Clone(atHand)
	if len(atHand) == 0 {
		for _, authority := range a {
			names = append(names, cert.Name(authority))
		}
	}
	if able := slices.DeleteFunc(slices.Clone(names), a.ended(now, chains).Has); len(able) > 0 {
		names = able
	}
	if len(atHand) == 0 {
		return names[:min(1, len(names))]
	}
	return names
}

// ended returns the names of the authorities that sign nothing that is valid at now: they do not hold then, or one
// above them does not. With a zero now, no authority has ended.
func (a authorities) ended(now time.Time, chains map[string]string) membership.AuthorityNames {
	if now.IsZero() {
		return ""
	}
	return slices.DeleteFunc(slices.Clone(a), func(authority *x509.Certificate) bool {
		return !slices.ContainsFunc(append(authorities{authority}, parseAuthorities(chains[cert.Name(authority)])...), func(one *x509.Certificate) bool {
			return now.Before(one.NotBefore) || !now.Before(one.NotAfter)
		})
	}).names()
}

// issued returns which authorities a member's certificates are of, and which it trusts, by its host's report. If an
// authority's certificate was made again with the same key, both have signed the same certificates: a certificate
// counts as signed by the one that the host has, or by the desired one if the host has both.
func (c Cluster) issued(o *api.Observation, known trust) (issued membership.Issued) {
	heldPeers, heldClients := Held(o)
	held := trust{parseAuthorities(heldPeers), parseAuthorities(heldClients)}
	for _, key := range api.KeyNames {
		leaf, err := cert.ParseLeaf([]byte(o.Certificates[key].PEM))
		if err != nil {
			continue
		}
		by := api.ForKey(key, &issued.By.Peers, &issued.By.Clients)
		*by = by.With(cmp.Or(known.of(key).in(held.of(key)).signed(leaf), known.of(key).signed(leaf)))
	}
	peers, clients := Held(o)
	issued.Files = membership.Authorities{Peers: parseAuthorities(peers).names(), Clients: parseAuthorities(clients).names()}
	issued.Trusts = issued.Files
	if p := o.Unit.Process; p != nil {
		issued.Trusts.Peers = trusted(p.PeerCA, peers, c.PeerCA)
		issued.Trusts.Clients = trusted(p.ClientCA, clients, c.ClientCA)
	}
	return issued
}

// trusted returns what a process trusts that has started with the bundle of this SHA-256, which may be the one in its
// file or the desired one. It is empty if that is unknown. If a store has not recorded the bundle, it is the one in the
// file.
func trusted(started, file, desired string) membership.AuthorityNames {
	switch started {
	case "", digest(file):
		return parseAuthorities(file).names()
	case digest(desired):
		return parseAuthorities(desired).names()
	}
	return ""
}

// Bundles returns the CA bundles, PEM, that a member is given: the authorities with these names, out of the desired
// ones and those that hosts have. The zero value stands for the desired ones.
func (c Cluster) Bundles(m membership.Member, owner string, reports Reports, names membership.Authorities) (peers, clients string, err error) {
	if names == (membership.Authorities{}) {
		names, _ = c.desiredAuthorities(time.Time{})
	}
	known := c.trust(owner, reports)
	heldPeers, heldClients := Held(reports[m].Observation)
	if peers, err = known.peers.bundle(names.Peers, heldPeers, c.PeerCA); err != nil {
		return "", "", err
	}
	clients, err = known.clients.bundle(names.Clients, heldClients, c.ClientCA)
	return peers, clients, err
}

// bundle returns the text of the authorities with these names. If the host's own bundle has exactly these, its text is
// kept: its hash tells with what a process has started.
func (a authorities) bundle(names membership.AuthorityNames, held, desired string) (string, error) {
	for _, text := range []string{held, desired} {
		if parseAuthorities(text).names() == names {
			return text, nil
		}
	}
	var text strings.Builder
	for _, name := range names.All() {
		i := slices.IndexFunc(a, func(authority *x509.Certificate) bool { return cert.Name(authority) == name })
		if i < 0 {
			return "", fmt.Errorf("no host has the certificate of authority %s any more", name)
		}
		text.Write(pem.EncodeToMemory(&pem.Block{Type: cert.BlockType, Bytes: a[i].Raw}))
	}
	return text.String(), nil
}

// Held returns the CA bundles, PEM, that a host has: of peers, and of clients.
func Held(o *api.Observation) (peers, clients string) {
	if o == nil {
		return "", ""
	}
	return o.Certificates[observedPeerCA].PEM, o.Certificates[observedClientCA].PEM
}
