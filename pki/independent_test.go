package pki

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// openssl verifies certificates as clients do that are not written in Go. It skips the test if openssl is not
// installed.
type openssl struct {
	testing.TB
	dir string
}

func newOpenssl(t testing.TB) openssl {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("there is no openssl here: ", err)
	}
	return openssl{t, t.TempDir()}
}

func (o openssl) file(name string, text []byte) string {
	o.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		o.Fatal(err)
	}
	return path
}

// verify returns why openssl refuses a certificate, or "".
func (o openssl) verify(bundle, leaf []byte, at time.Time, more ...string) string {
	o.Helper()
	args := slices.Concat([]string{"verify", "-x509_strict", "-check_ss_sig", "-no-CApath", "-no-CAstore", "-attime", strconv.FormatInt(at.Unix(), 10),
		"-CAfile", o.file("ca.pem", bundle)}, more, []string{o.file("leaf.pem", leaf)})
	text, err := exec.Command("openssl", args...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v: %s", err, text)
	}
	return ""
}

// issuedOfEachKind returns an authority of each algorithm, and what it signs for each profile and algorithm.
func issuedOfEachKind(t *testing.T, do func(name string, ca *Authority, profile Profile, leaf []byte)) {
	t.Helper()
	for _, of := range []Algorithm{ECDSAP256, ECDSAP384, RSA2048} {
		ca, err := NewAuthority(PeersName("prod"), of, DefaultAuthorityLifetime, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, algorithm := range []Algorithm{ECDSAP256, ECDSAP384, RSA2048} {
			for _, profile := range []Profile{Peer, Server, Client} {
				want := member()
				want.Profile = profile
				signed, err := ca.Sign(t.Context(), requestPEM(t, template(want), key(t, algorithm)), want, now)
				if err != nil {
					t.Fatal(err)
				}
				do(fmt.Sprintf("%s of %s by %s", profile, algorithm, of), ca, profile, signed)
			}
		}
	}
}

// TestOpensslVerifies has openssl accept every kind of certificate for its purpose, and refuse it for every other
// purpose.
func TestOpensslVerifies(t *testing.T) {
	o, other := newOpenssl(t), authority(t, PeersName("prod"))
	accepted := map[Profile][]string{Peer: {"sslserver", "sslclient"}, Server: {"sslserver", "sslclient"}, Client: {"sslclient"}}
	issuedOfEachKind(t, func(name string, ca *Authority, profile Profile, leaf []byte) {
		bundle := ca.CertificatePEM()
		for _, purpose := range []string{"sslserver", "sslclient", "smimesign", "timestampsign"} {
			refused := o.verify(bundle, leaf, now, "-purpose", purpose)
			if slices.Contains(accepted[profile], purpose) != (refused == "") {
				t.Errorf("%s, for %s: %q", name, purpose, refused)
			}
		}
		if profile != Server { // the checks below do not depend on the profile
			return
		}
		for what, c := range map[string]struct {
			refused bool
			said    string
		}{
			"a name that it has":         {false, o.verify(bundle, leaf, now, "-verify_hostname", "a.example.com")},
			"an address that it has":     {false, o.verify(bundle, leaf, now, "-verify_ip", "2001:db8::11")},
			"another name":               {true, o.verify(bundle, leaf, now, "-verify_hostname", "b.example.com")},
			"another address":            {true, o.verify(bundle, leaf, now, "-verify_ip", "192.0.2.12")},
			"a clock that is 5 min late": {false, o.verify(bundle, leaf, now.Add(-cert.Backdate))},
			"a clock that is later":      {true, o.verify(bundle, leaf, now.Add(-cert.Backdate-time.Second))},
			"its last second":            {false, o.verify(bundle, leaf, now.Add(DefaultLeafLifetime-time.Second))},
			"the time after its end":     {true, o.verify(bundle, leaf, now.Add(DefaultLeafLifetime+time.Second))},
			"an authority of its name":   {true, o.verify(other.CertificatePEM(), leaf, now)},
			"two authorities":            {false, o.verify(append(other.CertificatePEM(), bundle...), leaf, now)},
		} {
			if (c.said != "") != c.refused {
				t.Errorf("%s, with %s: %q", name, what, c.said)
			}
		}
	})
}

// TestOpensslTakesNoLeafForAnAuthority has a member's key sign another certificate, which openssl refuses.
func TestOpensslTakesNoLeafForAnAuthority(t *testing.T) {
	o, ca := newOpenssl(t), authority(t, PeersName("prod"))
	want := member()
	leaf, err := ca.NewLeaf(t.Context(), want, ECDSAP256, now)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := newEmbedded(leaf).NewLeaf(t.Context(), want, ECDSAP256, now)
	if err == nil {
		t.Fatalf("a member's key signs: %s", forged)
	}
	key := o.file("key.pem", privateKeyPEM(t, leaf))
	made := filepath.Join(o.dir, "forged.pem")
	for _, args := range [][]string{
		{"req", "-new", "-key", key, "-subj", "/CN=a", "-out", filepath.Join(o.dir, "forged.csr")},
		{"x509", "-req", "-in", filepath.Join(o.dir, "forged.csr"), "-CA", o.file("issuer.pem", leaf.CertificatePEM()), "-CAkey", key, "-set_serial", "7", "-out", made},
	} {
		if text, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v: %s", args[0], err, text)
		}
	}
	text, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	if o.verify(ca.CertificatePEM(), text, time.Now(), "-untrusted", o.file("chain.pem", leaf.CertificatePEM()), "-no_check_time") == "" {
		t.Error("openssl takes a certificate that a member has signed")
	}
}

// accepted are findings of zlint that we accept.
var accepted = map[string]string{
	"w_subject_common_name_included": "etcd reads a client's user from the common name",
}

// TestLintFindsNothing has zlint check authorities and certificates by RFC 5280 and by later lessons of the field. It
// leaves out what browsers require of public authorities, such as revocation by OCSP, which a cluster's own authority
// cannot have.
func TestLintFindsNothing(t *testing.T) {
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lint.SourceList{lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC8813, lint.Community}})
	if err != nil {
		t.Fatal(err)
	}
	if len(registry.Names()) < 100 {
		t.Fatalf("zlint has %d checks", len(registry.Names()))
	}
	check := func(name string, text []byte) {
		parsed, err := zx509.ParseCertificate(parsed(t, text).Raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		for check, result := range zlint.LintCertificateEx(parsed, registry).Results {
			if result.Status >= lint.Warn && accepted[check] == "" {
				t.Errorf("%s: %s: %s %s", name, check, result.Status, result.Details)
			}
		}
	}
	linted := map[string]bool{}
	issuedOfEachKind(t, func(name string, ca *Authority, _ Profile, leaf []byte) {
		check(name, leaf)
		if authority := ca.String() + strings.SplitN(name, " by ", 2)[1]; !linted[authority] {
			linted[authority] = true
			check("the authority of "+authority, ca.CertificatePEM())
		}
	})
}

// TestSerialNumbersAreRandom holds that nobody can foresee the serial numbers of an authority's certificates.
func TestSerialNumbersAreRandom(t *testing.T) {
	ca, seen := authority(t, "ca"), map[string]bool{}
	want, holder := member(), key(t, ECDSAP256)
	request := requestPEM(t, template(want), holder)
	longest := 0
	for range 64 {
		signed, err := ca.Sign(t.Context(), request, want, now)
		if err != nil {
			t.Fatal(err)
		}
		number := parsed(t, signed).SerialNumber
		if number.Sign() <= 0 || number.BitLen() > 159 || seen[number.String()] {
			t.Errorf("serial number %x, of %d bits", number, number.BitLen())
		}
		seen[number.String()], longest = true, max(longest, number.BitLen())
	}
	if longest < 128 {
		t.Errorf("the longest of 64 serial numbers has %d bits", longest)
	}
}
