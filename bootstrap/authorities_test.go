package bootstrap_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/google/go-cmp/cmp"
)

// named is the set of the authorities in a bundle.
func named(t *testing.T, bundles ...string) membership.AuthorityNames {
	t.Helper()
	authorities, err := cert.Parse([]byte(strings.Join(bundles, "")))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, authority := range authorities {
		names = append(names, cert.Name(authority))
	}
	return membership.NamesOf(names...)
}

// TestStatusOfAuthorities holds what is known of a member's authorities, by its certificates, its files, and what its
// process has started by.
func TestStatusOfAuthorities(t *testing.T) {
	c := three()
	b := c.Members[1]
	peers, clients := named(t, c.PeerCA), named(t, c.ClientCA)
	other := unmanaged()
	both := c.PeerCA + other.PeerCA()
	as := func(peers, clients membership.AuthorityNames) membership.Authorities {
		return membership.Authorities{Peers: peers, Clients: clients}
	}
	ours := func() membership.Issued {
		return membership.Issued{By: as(peers, clients), Trusts: as(peers, clients), Files: as(peers, clients)}
	}
	for name, test := range map[string]struct {
		change func(*api.Observation)
		want   func(*membership.Issued)
	}{
		"as it is": {func(*api.Observation) {}, func(*membership.Issued) {}},
		"its file names another, its process trusts the desired one": {
			func(o *api.Observation) { o.Certificates["peer-ca"] = api.Certificate{PEM: other.PeerCA()} },
			func(i *membership.Issued) { i.Files.Peers = named(t, other.PeerCA()) }},
		"its process has started by what nobody has any more": {
			func(o *api.Observation) { o.Unit.Process.PeerCA = "01d" },
			func(i *membership.Issued) { i.Trusts.Peers = "" }},
		"its store has not recorded what its process has started by": {
			func(o *api.Observation) {
				o.Unit.Process.PeerCA, o.Certificates["peer-ca"] = "", api.Certificate{PEM: both}
			},
			func(i *membership.Issued) {
				i.Trusts.Peers, i.Files.Peers = named(t, both), named(t, both)
			}},
		"its client bundle is gone, and it does not run": {
			func(o *api.Observation) { o.Unit.Process, o.Certificates["client-ca"] = nil, api.Certificate{} },
			func(i *membership.Issued) { i.Trusts.Clients, i.Files.Clients = "", "" }},
		"its peer certificate is of another, which its file names too": {
			func(o *api.Observation) {
				o.Unit.Process = nil
				o.Certificates["peer-ca"] = api.Certificate{PEM: both}
				o.Certificates[api.KeyPeer] = held(t, c, b, other, nil)[api.KeyPeer]
			},
			func(i *membership.Issued) {
				i.By.Peers, i.Trusts.Peers, i.Files.Peers = named(t, other.PeerCA()), named(t, both), named(t, both)
			}},
		"its server certificate is of an authority that nobody names": {
			func(o *api.Observation) { o.Certificates[api.KeyServer] = held(t, c, b, other, nil)[api.KeyServer] },
			func(*membership.Issued) {}},
	} {
		t.Run(name, func(t *testing.T) {
			reports := alive(t, c)
			reports[b].Observation.Unit.Process = &api.Process{PeerCA: sum(c.PeerCA), ClientCA: sum(c.ClientCA)}
			test.change(reports[b].Observation)
			want := ours()
			test.want(&want)
			status := c.Status(owner(), reports, time.Time{})
			if diff := cmp.Diff(want, status.Member(b).Issued); diff != "" {
				t.Error(diff)
			}
			if status.Trusts != as(peers, clients) || status.Signers.First() != as(peers, clients) {
				t.Errorf("desired are %s, signed by %+v", status.Trusts, status.Signers)
			}
		})
	}
}

// TestStatusOfRemadeAuthority has the certificates of the authorities made again, with the same keys: members'
// certificates are of those that their hosts have, and of the new ones once they have these.
func TestStatusOfRemadeAuthority(t *testing.T) {
	c := three()
	b := c.Members[1]
	reports := alive(t, c)
	before := membership.Authorities{Peers: named(t, c.PeerCA), Clients: named(t, c.ClientCA)}
	remade, err := authority().Remade(now.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	c.PeerCA, c.ClientCA = remade.PeerCA(), remade.ClientCA()
	after := membership.Authorities{Peers: named(t, c.PeerCA), Clients: named(t, c.ClientCA)}
	if by := c.Status(owner(), reports, time.Time{}).Member(b).Issued.By; by != before || by == after {
		t.Errorf("they are of %s; the host has %s", by, before)
	}
	held, first := reports[b].Observation.Certificates, three()
	for _, has := range [][2]string{{first.PeerCA + c.PeerCA, first.ClientCA + c.ClientCA}, {c.PeerCA + first.PeerCA, c.ClientCA + first.ClientCA}, {c.PeerCA, c.ClientCA}} {
		held["peer-ca"], held["client-ca"] = api.Certificate{PEM: has[0]}, api.Certificate{PEM: has[1]}
		if by := c.Status(owner(), reports, time.Time{}).Member(b).Issued.By; by != after {
			t.Errorf("they are of %s; the host has %s too", by, after)
		}
	}
}

// TestStatusOfEndedAuthority names the authorities that have expired, or are not valid yet, desired or not.
func TestStatusOfEndedAuthority(t *testing.T) {
	c := three()
	reports := alive(t, c)
	all := membership.Authorities{Peers: named(t, c.PeerCA), Clients: named(t, c.ClientCA)}
	other := unmanaged()
	for _, test := range []struct {
		at   time.Time
		want membership.Authorities
	}{{time.Time{}, membership.Authorities{}}, {now, membership.Authorities{}}, {now.AddDate(11, 0, 0), all}, {now.AddDate(-3, 0, 0), all}} {
		if ended := c.Status(owner(), reports, test.at).Ended; ended != test.want {
			t.Errorf("at %s: %s, and not %s", test.at, ended, test.want)
		}
	}
	c.PeerCA, c.ClientCA = other.PeerCA(), other.ClientCA()
	both := all.With(membership.Authorities{Peers: named(t, c.PeerCA), Clients: named(t, c.ClientCA)})
	if ended := c.Status(owner(), reports, now.AddDate(11, 0, 0)).Ended; ended != both {
		t.Errorf("that hosts have: %s, and not %s", ended, both)
	}
}

// TestBundles holds that a bundle is made of what is desired and of what hosts have, and fails where neither has an
// authority.
func TestBundles(t *testing.T) {
	c := three()
	other := unmanaged()
	reports := alive(t, c)
	reports[c.Members[0]].Observation.Certificates["peer-ca"] = api.Certificate{PEM: c.PeerCA + other.PeerCA()}
	if peers, clients, err := c.Bundles(c.Members[1], owner(), reports, membership.Authorities{}); err != nil || peers != c.PeerCA || clients != c.ClientCA {
		t.Errorf("by default: %q, %q, %v", peers, clients, err)
	}
	want := membership.Authorities{Peers: named(t, c.PeerCA, other.PeerCA()), Clients: named(t, c.ClientCA)}
	peers, clients, err := c.Bundles(c.Members[1], owner(), reports, want)
	if err != nil || named(t, peers) != want.Peers || clients != c.ClientCA {
		t.Errorf("two for peers: %q, %q, %v", peers, clients, err)
	}
	// What the host has is kept as it is, in whatever order.
	if peers, _, err := c.Bundles(c.Members[0], owner(), reports, want); err != nil || peers != c.PeerCA+other.PeerCA() {
		t.Errorf("as the host has them: %q, %v", peers, err)
	}
	if _, _, err := c.Bundles(c.Members[1], owner(), reports, membership.Authorities{Peers: "0123456789ab", Clients: want.Clients}); err == nil || !strings.Contains(err.Error(), "0123456789ab") {
		t.Errorf("of an authority that nobody has: %v", err)
	}
}

func owner() string { return ours.Owner }

// sum is the SHA-256 by which a host has recorded a bundle.
func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// TestStatusOfRenewal holds from when on a certificate that holds is to be renewed.
func TestStatusOfRenewal(t *testing.T) {
	c := three()
	b := c.Members[1]
	const year = 365 * 24 * time.Hour
	// The authority ends in 300 days, and so does everything that it signs for a year.
	short, err := signing.NewAuthority(now.AddDate(-10, 0, 300))
	if err != nil {
		t.Fatal(err)
	}
	short.Lifetime = 10*year + 2*24*time.Hour
	for name, test := range map[string]struct {
		renewal bootstrap.Renewal
		by      *signing.Authority
		at      time.Duration
		due     bool
	}{
		"new":                                    {at: 0},
		"before the last third":                  {at: year*2/3 - time.Hour},
		"in the last third":                      {at: year*2/3 + time.Hour, due: true},
		"before the window":                      {renewal: bootstrap.Renewal{Before: 24 * time.Hour}, at: year - 25*time.Hour},
		"in the window":                          {renewal: bootstrap.Renewal{Before: 24 * time.Hour}, at: year - 23*time.Hour, due: true},
		"it ends when its authority does":        {by: short, at: 250 * 24 * time.Hour},
		"it has expired, which is another thing": {at: year + time.Hour, due: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := c
			c.Renewal = test.renewal
			reports := alive(t, c)
			if test.by != nil {
				c.PeerCA, c.ClientCA = test.by.PeerCA(), test.by.ClientCA()
				reports[b].Observation.Certificates = held(t, c, b, test.by, nil)
			}
			at := now.Add(test.at)
			s := c.Status(owner(), reports, at).Member(b)
			if due := s.Due != ""; due != test.due || due && !strings.HasPrefix(s.Due, "its peer certificate expires at ") {
				t.Errorf("due %q (invalid: %q)", s.Due, s.Invalid)
			}
			if untimed := c.Status(owner(), reports, time.Time{}).Member(b); untimed.Due != "" {
				t.Errorf("due without a time: %q", untimed.Due)
			}
		})
	}
}
