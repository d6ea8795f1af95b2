package renewal

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/keys"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/pkitest"
)

// TestTheLastChainStays: an apply without a signer writes a renewed chain behind the certificate, and leaves the host's
// settings as they are. A renewal keeps that chain. Anything else behind a certificate is replaced by the chain in the
// settings.
func TestTheLastChainStays(t *testing.T) {
	t.Parallel()
	company := pkitest.New(t, time.Now(), nil)
	renewed := pkitest.Again(t, company.Middle, &company.Root, time.Now(), nil)
	ended := pkitest.Again(t, company.Middle, &company.Root, time.Now(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	for name, test := range map[string]struct {
		lies []pkitest.CA
		want pkitest.CA
	}{
		"a renewed chain":      {[]pkitest.CA{company.Signs, renewed}, renewed},
		"none":                 {nil, company.Middle},
		"one that has ended":   {[]pkitest.CA{company.Signs, ended}, company.Middle},
		"another authority":    {[]pkitest.CA{company.Sibling, renewed}, company.Middle},
		"one that is no chain": {[]pkitest.CA{company.Signs, company.Sibling}, company.Middle},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 8000*time.Hour, 760*time.Hour)
			etcd := files.Owner{UID: 64123, GID: 64124}
			w.signer.by = authority{company.Signs.Key, company.Signs.Certificate}
			for _, bundle := range []string{api.PeerCAFile("main"), api.ClientCAFile("main")} {
				must[bool](t)(w.Files.Put(files.File{Path: bundle, Text: []byte(company.Signs.PEM()), Owner: files.RootFor(etcd), Mode: files.ConfigFile}))
			}
			for _, name := range api.KeyNames {
				pair := must[keys.Pair](t)(w.Keys.Pair("main", name))
				template := leaf(name)
				template.NotBefore, template.NotAfter = pair.Leaf.NotBefore, pair.Leaf.NotAfter
				pair.Certificate = w.signer.by.sign(t, template, pair.Key.Public())
				for _, ca := range test.lies {
					pair.Certificate += ca.PEM()
				}
				if err := w.Keys.Replace("main", name, pair, etcd); err != nil {
					t.Fatal(err)
				}
			}
			place := *w.renewal.Peers
			place.Authority = company.Signs.PEM(company.Middle, company.Root)
			w.renewal.Peers, w.renewal.Clients = &place, &place
			w.setUp(t)
			if err := w.run(t, false); err != nil {
				t.Fatal(err)
			}
			for _, name := range api.KeyNames {
				pair := must[keys.Pair](t)(w.Keys.Pair("main", name))
				if time.Until(pair.Leaf.NotAfter) < 8000*time.Hour {
					t.Errorf("%s is not renewed", name)
				}
				if got := cert.Following(pair.Certificate); !slices.EqualFunc(got, []*x509.Certificate{company.Signs.Certificate, test.want.Certificate}, (*x509.Certificate).Equal) {
					t.Errorf("%s is followed by %d certificates, or others than wanted", name, len(got))
				}
			}
		})
	}
}
