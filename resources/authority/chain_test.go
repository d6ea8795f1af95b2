package authority

import (
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/pkitest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

var now = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// given is an authority as a configuration has it, with those above it.
func given(t *testing.T, ca pkitest.CA, above ...pkitest.CA) KeyPair {
	t.Helper()
	return KeyPair{Certificate: types.StringValue(ca.PEM(above...)), PrivateKey: sensitive.Of(ca.KeyPEM(t))}
}

// certificateOnly is an authority whose key is left out.
func certificateOnly(k KeyPair) KeyPair {
	return KeyPair{Certificate: k.Certificate}
}

// TestMembersTrustTheFirstOfAChain has members trust the certificate that signs, and nothing that stands above it.
func TestMembersTrustTheFirstOfAChain(t *testing.T) {
	peers, clients, old := pkitest.New(t, now, nil), pkitest.New(t, now, nil), made(t, "old", time.Hour, now)
	for name, test := range map[string]struct {
		of      Model
		trusted []*x509.Certificate // by peers; by clients beside these: nothing else
	}{
		"chains":                       {Model{Peer: given(t, peers.Signs, peers.Middle, peers.Root), Client: given(t, clients.Signs, clients.Middle)}, []*x509.Certificate{peers.Signs.Certificate}},
		"beside a root":                {Model{Peer: given(t, peers.Signs, peers.Middle, peers.Root), Client: old.Client, Trusted: &Trusted{Peer: &old.Peer}}, []*x509.Certificate{peers.Signs.Certificate, old.Peer.chain()[0]}},
		"a chain beside a root":        {Model{Peer: old.Peer, Client: old.Client, Trusted: &Trusted{Peer: ptr(given(t, peers.Signs, peers.Middle, peers.Root))}}, []*x509.Certificate{old.Peer.chain()[0], peers.Signs.Certificate}},
		"a chain without key, trusted": {Model{Peer: old.Peer, Client: old.Client, Trusted: &Trusted{Peer: ptr(certificateOnly(given(t, peers.Signs, peers.Middle)))}}, []*x509.Certificate{old.Peer.chain()[0], peers.Signs.Certificate}},
	} {
		t.Run(name, func(t *testing.T) {
			say(t, test.of.Check(), "")
			bundle, _ := test.of.Bundles()
			if want := cert.Encode(test.trusted...); bundle.ValueString() != want {
				t.Errorf("members trust\n%s\nand not\n%s", bundle.ValueString(), want)
			}
			clientBundle := ClientModel{Client: test.of.Peer}.Bundle()
			if all, err := cert.Parse([]byte(clientBundle.ValueString())); err != nil || len(all) != 1 || !all[0].Equal(test.of.Peer.chain()[0]) {
				t.Errorf("clients are told to trust %d certificates (%v)", len(all), err)
			}
			for _, k := range []KeyPair{test.of.Peer, test.of.Client} {
				if got, want := test.of.Chains()[cert.Name(k.chain()[0])], cert.Encode(cert.Behind(k.chain())...); got != want {
					t.Errorf("what follows its certificates is\n%s\nand not\n%s", got, want)
				}
			}
		})
	}
}

func ptr(k KeyPair) *KeyPair { return &k }

// TestChainsAreRefused holds that what is wrong with a chain is said with the attribute that has it, whoever has the
// key.
func TestChainsAreRefused(t *testing.T) {
	c, prod := pkitest.New(t, now, nil), made(t, "prod", time.Hour, now)
	wrong := given(t, c.Signs, c.Root)
	say(t, Model{Peer: wrong, Client: prod.Client}.Check(), "pki.peer: the authority")
	say(t, Model{Peer: certificateOnly(wrong), Client: prod.Client}.Check(), "has not signed the one before it")
	say(t, Model{Peer: prod.Peer, Client: wrong}.Check(), "pki.client: the authority")
	say(t, Model{Peer: prod.Peer, Client: prod.Client, Trusted: &Trusted{Client: ptr(certificateOnly(wrong))}}.Check(), "A trusted authority cannot be used")
	say(t, ClientModel{Client: wrong}.Check(), "pki.client: the authority")
	say(t, ClientModel{Client: prod.Client, Trusted: &TrustedClient{&Certificate{wrong.Certificate}}}.Check(), "A trusted authority cannot be used")

	middle := pkitest.Again(t, c.Middle, &c.Root, now, func(x *x509.Certificate) { x.NotAfter = now.Add(time.Hour) })
	soon := Model{Peer: given(t, c.Signs, middle, c.Root), Client: prod.Client}
	say(t, soon.Check(), "")
	say(t, soon.Wait(now.Add(30*time.Minute), "", ""), "")
	say(t, soon.Wait(now.Add(2*time.Hour), "", prod.Client.Certificate.ValueString()), "(certificate 2 of its chain), which expired at")
	if first, err := FirstToExpire(c.Signs.PEM(), c.Signs.PEM(), soon.Above()...); err != nil || !first.NotAfter.Equal(middle.NotAfter) {
		t.Errorf("the first to expire is %q at %s (%v)", first.CommonName, first.NotAfter, err)
	}
	late := pkitest.Again(t, c.Middle, &c.Root, now, func(x *x509.Certificate) { x.NotBefore = now })
	ahead := Model{Peer: given(t, c.Signs, late, c.Root), Client: prod.Client}
	say(t, ahead.Check(), "") // from then on all of it holds
	say(t, ahead.Wait(now.Add(-time.Minute), "", prod.Client.Certificate.ValueString()), "(certificate 2 of its chain), which is valid from")
	// A cluster that trusts it needs none of its certificates for plans that change no host.
	for _, of := range []Model{soon, ahead} {
		peers, clients := of.Bundles()
		say(t, of.Wait(now.Add(2*time.Hour), peers.ValueString(), clients.ValueString()), "")
		say(t, of.Wait(now.Add(-time.Minute), peers.ValueString(), clients.ValueString()), "")
	}
	say(t, soon.MaySign(now.Add(30*time.Minute)), "")
	say(t, soon.MaySign(now.Add(2*time.Hour)), "(certificate 2 of its chain), which expired at")
	say(t, ahead.MaySign(now.Add(-time.Minute)), "(certificate 2 of its chain), which is valid from")
	signer, err := soon.Signer(func() time.Time { return now.Add(2 * time.Hour) }, 0)
	if _, again := signer.Sign(t.Context(), "", api.KeyRequest{Name: api.KeyPeer, CommonName: "a"}, ""); err == nil || !errors.Is(again, err) {
		t.Errorf("the signer of a chain that has expired says %v, and when it is to sign, %v", err, again)
	}
}

// TestFollow has a certificate keep its leaf, and be followed by what the configuration has above its authority now.
func TestFollow(t *testing.T) {
	c, other := pkitest.New(t, now, nil), made(t, "other", time.Hour, now)
	before, after := given(t, c.Signs, c.Middle), given(t, c.Signs, pkitest.Again(t, c.Middle, &c.Root, now, nil), c.Root)
	by, err := before.Parse(now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := by.NewLeaf(t.Context(), pki.Request{Profile: pki.Client, CommonName: "app"}, pki.DefaultAlgorithm, now)
	if err != nil {
		t.Fatal(err)
	}
	certificate := types.StringValue("# as somebody keeps it\n" + string(leaf.CertificatePEM()))
	if same := (ClientModel{Client: before}).Follow(certificate); !same.Equal(certificate) {
		t.Errorf("it is written anew as %s", same)
	}
	if same := (ClientModel{Client: other.Client}).Follow(certificate); !same.Equal(certificate) {
		t.Errorf("another authority's chain follows it: %s", same)
	}
	for name, of := range map[string]ClientModel{"signs": {Client: after}, "trusted": {Client: other.Client, Trusted: &TrustedClient{&Certificate{after.Certificate}}}} {
		all, err := cert.Parse([]byte(of.Follow(certificate).ValueString()))
		if err != nil || len(all) != 3 || !all[1].Equal(after.chain()[0]) || !all[2].Equal(after.chain()[1]) {
			t.Errorf("%s: %d certificates (%v)", name, len(all), err)
		}
	}
}

// TestPermits has the constraints of the authority that signs, and of those above it, decide on members' names before
// anything is signed.
func TestPermits(t *testing.T) {
	_, network, err := net.ParseCIDR("192.0.2.0/24")
	if err != nil {
		t.Fatal(err)
	}
	c := pkitest.New(t, now, nil)
	middle := pkitest.Again(t, c.Middle, &c.Root, now, func(x *x509.Certificate) { x.PermittedIPRanges = []*net.IPNet{network} })
	of := Model{Peer: certificateOnly(given(t, c.Signs, middle)), Client: made(t, "prod", time.Hour, now).Client}
	keys := func(ip string) []api.KeyRequest {
		return []api.KeyRequest{{Name: api.KeyPeer, CommonName: "a", IPs: []string{ip}}, {Name: api.KeyServer, CommonName: "a", IPs: []string{ip, "127.0.0.1"}}}
	}
	if err := of.Permits(keys("192.0.2.11")); err != nil {
		t.Error(err)
	}
	err = of.Permits(keys("198.51.100.1"))
	for _, part := range []string{"peer certificate", "pki.peer", "198.51.100.1", "permits only addresses in 192.0.2.0/24", "company middle"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
	of.Peer.Certificate = types.StringUnknown()
	if err := of.Permits(keys("198.51.100.1")); err != nil {
		t.Errorf("of an authority that is not known: %v", err)
	}
}
