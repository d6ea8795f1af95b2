package pki

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/pkitest"
)

// parsedOf returns the company's authority that signs, followed by these certificates.
func parsedOf(t testing.TB, c pkitest.Company, above ...pkitest.CA) *Authority {
	t.Helper()
	authority, err := ParseAuthority([]byte(c.Signs.PEM(above...)), []byte(c.Signs.KeyPEM(t)), now)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

func signed(t testing.TB, by *Authority, profile Profile) []byte {
	t.Helper()
	want := member()
	want.Profile = profile
	text, err := by.Sign(t.Context(), requestPEM(t, template(want), key(t, ECDSAP256)), want, now)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func certificatesOf(authorities []pkitest.CA) (all []*x509.Certificate) {
	for _, authority := range authorities {
		all = append(all, authority.Certificate)
	}
	return all
}

func names(certificates []*x509.Certificate) string {
	var all []string
	for _, c := range certificates {
		all = append(all, c.Subject.CommonName)
	}
	return strings.Join(all, " ")
}

// TestIntermediatesFollowWhatIsSigned holds that a leaf is followed by all that a client needs which knows only the
// root, and by no root.
func TestIntermediatesFollowWhatIsSigned(t *testing.T) {
	c := pkitest.New(t, now, nil)
	o := newOpenssl(t)
	root, signs := []byte(c.Root.PEM()), []byte(c.Signs.PEM())
	for name, test := range map[string]struct {
		above    []pkitest.CA
		follow   string
		complete bool // clients that know only the root can verify the leaf
	}{
		"its whole chain":      {[]pkitest.CA{c.Middle, c.Root}, "company etcd company middle", true},
		"the root left out":    {[]pkitest.CA{c.Middle}, "company etcd company middle", true},
		"nothing of its chain": {nil, "company etcd", false},
	} {
		t.Run(name, func(t *testing.T) {
			authority := parsedOf(t, c, test.above...)
			for _, profile := range []Profile{Peer, Server, Client} {
				leaf := signed(t, authority, profile)
				if follow := names(cert.Following(string(leaf))); follow != test.follow {
					t.Errorf("%q follow a %s certificate, not %q", follow, profile, test.follow)
				}
				if err := Verify(leaf, root, profile, now); (err == nil) != test.complete {
					t.Errorf("by the root: %v", err)
				}
				if err := Verify([]byte(cert.First(string(leaf))), signs, profile, now); err != nil {
					t.Errorf("by the authority that signs: %v", err)
				}
				for _, purpose := range []string{"sslclient", "sslserver"}[:map[Profile]int{Peer: 2, Server: 2, Client: 1}[profile]] {
					if said := o.verify(root, leaf, now, "-untrusted", o.file("served.pem", leaf), "-purpose", purpose); (said == "") != test.complete {
						t.Errorf("openssl, by the root, for %s: %s", purpose, said)
					}
					if said := o.verify(signs, leaf, now, "-partial_chain", "-purpose", purpose); said != "" {
						t.Errorf("openssl, by the authority that signs, for %s: %s", purpose, said)
					}
				}
			}
			if made, err := authority.NewLeaf(t.Context(), Request{Profile: Client, CommonName: "c"}, ECDSAP256, now); err != nil || names(cert.Following(string(made.CertificatePEM()))) != test.follow {
				t.Errorf("%v follow a new leaf (%v)", names(cert.Following(string(made.CertificatePEM()))), err)
			}
			if again, err := ParseAuthority(authority.CertificatePEM(), []byte(c.Signs.KeyPEM(t)), now); err != nil || names(again.chain()) != names(authority.chain()) {
				t.Errorf("its own text is of another chain (%v)", err)
			}
		})
	}
	if follow := cert.Following(string(signed(t, authority(t, "root"), Peer))); len(follow) > 0 {
		t.Errorf("%s follow what a root signs", names(follow))
	}
}

// TestASiblingIsNotTrusted has another authority of the same company sign. Members do not trust that authority,
// whatever follows the leaf.
func TestASiblingIsNotTrusted(t *testing.T) {
	c := pkitest.New(t, now, nil)
	sibling, err := ParseAuthority([]byte(c.Sibling.PEM(c.Middle, c.Root)), []byte(c.Sibling.KeyPEM(t)), now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := signed(t, sibling, Client)
	trusted := []byte(cert.First(string(parsedOf(t, c, c.Middle, c.Root).CertificatePEM())))
	if err := Verify(leaf, trusted, Client, now); err == nil {
		t.Error("a certificate of a sibling is taken")
	}
	if err := Verify(leaf, []byte(c.Root.PEM()), Client, now); err != nil {
		t.Errorf("the test's own certificate is wrong: %v", err)
	}
}

// TestChainsAreChecked holds which chains are refused, and that each refusal names the certificate at fault and says
// what to do.
func TestChainsAreChecked(t *testing.T) {
	long := pkitest.New(t, now, nil)
	for name, test := range map[string]struct {
		chain func(c pkitest.Company) []pkitest.CA
		says  []string
	}{
		"in the wrong order": {func(c pkitest.Company) []pkitest.CA { return []pkitest.CA{c.Signs, c.Root, c.Middle} },
			[]string{"certificate 2", `"company root"`, "has not signed", `issued by "company middle"`, "give first"}},
		"a link left out": {func(c pkitest.Company) []pkitest.CA { return []pkitest.CA{c.Signs, c.Root} },
			[]string{"certificate 2", "has not signed"}},
		"another company's of the same names": {func(c pkitest.Company) []pkitest.CA { return []pkitest.CA{c.Signs, long.Middle} },
			[]string{"certificate 2", "has not signed"}},
		"something above a root": {func(c pkitest.Company) []pkitest.CA { return []pkitest.CA{c.Signs, c.Middle, c.Root, long.Root} },
			[]string{"certificate 4", "nothing stands above", "pki.trusted"}},
		"a path that is too long": {func(c pkitest.Company) []pkitest.CA {
			middle := pkitest.Again(t, c.Middle, &c.Root, now, func(x *x509.Certificate) { x.MaxPathLen, x.MaxPathLenZero = 0, true })
			return []pkitest.CA{c.Signs, middle, c.Root}
		}, []string{"certificate 2", "pathlen", "allows 0", "has 1"}},
		"one that is no authority": {func(c pkitest.Company) []pkitest.CA {
			middle := pkitest.Again(t, c.Middle, &c.Root, now, func(x *x509.Certificate) { x.IsCA, x.KeyUsage = false, x509.KeyUsageDigitalSignature })
			return []pkitest.CA{c.Signs, middle, c.Root}
		}, []string{"certificate 2", "has not signed"}},
		"one that may not sign": {func(c pkitest.Company) []pkitest.CA {
			middle := pkitest.Again(t, c.Middle, &c.Root, now, func(x *x509.Certificate) { x.KeyUsage = x509.KeyUsageCRLSign })
			return []pkitest.CA{c.Signs, middle, c.Root}
		}, []string{"certificate 2", "has not signed"}},
		"one that has expired": {func(c pkitest.Company) []pkitest.CA {
			middle := pkitest.Again(t, c.Middle, &c.Root, now, func(x *x509.Certificate) { x.NotAfter = now.Add(-time.Minute) })
			return []pkitest.CA{c.Signs, middle, c.Root}
		}, []string{"certificate 2", "expired at", "renewed"}},
		"one that does not hold yet": {func(c pkitest.Company) []pkitest.CA {
			middle := pkitest.Again(t, c.Middle, &c.Root, now, func(x *x509.Certificate) { x.NotBefore = now.Add(time.Minute) })
			return []pkitest.CA{c.Signs, middle, c.Root}
		}, []string{"certificate 2", "valid from", "clock"}},
		"a root that ends first": {func(c pkitest.Company) []pkitest.CA {
			root := pkitest.Again(t, c.Root, nil, now, func(x *x509.Certificate) { x.NotAfter = now.Add(time.Hour) })
			return []pkitest.CA{c.Signs, c.Middle, root}
		}, []string{"certificate 3", "leave it out"}},
		"one for servers alone": {func(c pkitest.Company) []pkitest.CA {
			middle := pkitest.Again(t, c.Middle, &c.Root, now, func(x *x509.Certificate) { x.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
			return []pkitest.CA{c.Signs, middle, c.Root}
		}, []string{"certificate 2", "extended key usages"}},
		"a critical extension that nobody knows": {func(c pkitest.Company) []pkitest.CA {
			middle := pkitest.Again(t, c.Middle, &c.Root, now, func(x *x509.Certificate) {
				x.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
			})
			return []pkitest.CA{c.Signs, middle, c.Root}
		}, []string{"certificate 2", "critical extension", "1.2.3.4"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := pkitest.New(t, now, nil)
			_, err := ParseAuthority([]byte(cert.Encode(certificatesOf(test.chain(c))...)), []byte(c.Signs.KeyPEM(t)), now)
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// TestTheChainsFirstEndBounds holds that a leaf expires no later than the first certificate of the chain.
func TestTheChainsFirstEndBounds(t *testing.T) {
	c := pkitest.New(t, now, nil)
	soon := now.Add(24 * time.Hour)
	middle := pkitest.Again(t, c.Middle, &c.Root, now, func(x *x509.Certificate) { x.NotAfter = soon })
	authority := parsedOf(t, c, middle, c.Root)
	if info, err := cert.Inspect(signed(t, authority, Server)); err != nil || !info.NotAfter.Equal(soon) || !authority.Ends().Equal(soon) {
		t.Errorf("%s, %s, %v", info.NotAfter, authority.Ends(), err)
	}
}

// TestNameConstraints holds that constraints are checked before anything is signed, and as verifiers check them.
func TestNameConstraints(t *testing.T) {
	network := func(text string) *net.IPNet {
		_, parsed, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for name, test := range map[string]struct {
		change func(*x509.Certificate)
		says   []string // nil: it is permitted
	}{
		"none":               {nil, nil},
		"the names' domain":  {func(x *x509.Certificate) { x.PermittedDNSDomains = []string{"example.com", "localhost"} }, nil},
		"another domain":     {func(x *x509.Certificate) { x.PermittedDNSDomains = []string{"example.net"} }, []string{"a.example.com", `permits only names in "example.net"`, `"company etcd"`}},
		"an excluded domain": {func(x *x509.Certificate) { x.ExcludedDNSDomains = []string{"localhost"} }, []string{"localhost is outside", `excludes "localhost"`}},
		"the addresses' networks": {func(x *x509.Certificate) {
			x.PermittedIPRanges = []*net.IPNet{network("192.0.2.0/24"), network("2001:db8::/32")}
		}, nil},
		"one of the networks":     {func(x *x509.Certificate) { x.PermittedIPRanges = []*net.IPNet{network("192.0.2.0/24")} }, []string{"2001:db8::11", "permits only addresses in 192.0.2.0/24"}},
		"an excluded network":     {func(x *x509.Certificate) { x.ExcludedIPRanges = []*net.IPNet{network("192.0.2.8/29")} }, []string{"192.0.2.11 is outside", "excludes 192.0.2.8/29"}},
		"of other kinds of names": {func(x *x509.Certificate) { x.PermittedEmailAddresses = []string{"example.net"} }, nil},
		"on both, both permitted": {func(x *x509.Certificate) {
			x.PermittedDNSDomains, x.ExcludedIPRanges = []string{"com", "localhost"}, []*net.IPNet{network("10.0.0.0/8")}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, place := range []string{"signs", "above"} {
				c := pkitest.New(t, now, nil)
				if test.change != nil && place == "signs" {
					c = pkitest.New(t, now, test.change)
				} else if test.change != nil {
					c.Middle = pkitest.Again(t, c.Middle, &c.Root, now, test.change)
				}
				authority := parsedOf(t, c, c.Middle, c.Root)
				foreseen := authority.Permits(member())
				want := member()
				_, err := authority.Sign(context.Background(), requestPEM(t, template(want), key(t, ECDSAP256)), want, now)
				if (foreseen == nil) != (test.says == nil) || (err == nil) != (test.says == nil) {
					t.Fatalf("%s: foreseen %v, signed %v", place, foreseen, err)
				}
				for _, part := range test.says {
					if place == "above" && part == `"company etcd"` {
						part = `"company middle" (certificate 2`
					}
					if !strings.Contains(foreseen.Error(), part) {
						t.Errorf("%s: %q does not say %q", place, foreseen, part)
					}
				}
			}
		})
	}
}
