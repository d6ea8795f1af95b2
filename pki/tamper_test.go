package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
)

func extension(t testing.TB, oid asn1.ObjectIdentifier, value any) pkix.Extension {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oid, Value: der}
}

// smuggled are requests that differ from an honest one, and what their refusals have to name. Sign must refuse all of
// them, and SignRequest those that add something.
var smuggled = []struct {
	name  string
	edit  func(testing.TB, *x509.CertificateRequest)
	says  string
	lacks bool // the request only lacks something
}{
	{"a DNS name", func(_ testing.TB, r *x509.CertificateRequest) { r.DNSNames = append(r.DNSNames, "evil.example.com") }, `DNS name "evil.example.com"`, false},
	{"a name twice", func(_ testing.TB, r *x509.CertificateRequest) { r.DNSNames = append(r.DNSNames, "localhost") }, `DNS name "localhost"`, false},
	{"a name in capitals", func(_ testing.TB, r *x509.CertificateRequest) { r.DNSNames = []string{"a.example.com", "LOCALHOST"} }, `DNS name "LOCALHOST"`, false},
	{"an address", func(_ testing.TB, r *x509.CertificateRequest) {
		r.IPAddresses = append(r.IPAddresses, net.IPv4(192, 0, 2, 66))
	}, "IP address 192.0.2.66", false},
	{"an e-mail address", func(_ testing.TB, r *x509.CertificateRequest) { r.EmailAddresses = []string{"root@example.com"} }, `e-mail address "root@example.com"`, false},
	{"a URI", func(_ testing.TB, r *x509.CertificateRequest) {
		r.URIs = []*url.URL{{Scheme: "spiffe", Host: "evil"}}
	}, `URI "spiffe://evil"`, false},
	{"a kind of name that crypto/x509 skips", func(t testing.TB, r *x509.CertificateRequest) {
		registered := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 8, Bytes: []byte{0x2a}}
		r.ExtraExtensions = append(r.ExtraExtensions, extension(t, asn1.ObjectIdentifier{2, 5, 29, 17}, []asn1.RawValue{registered}))
	}, "name of kind 8 2a", false},
	{"another common name", func(_ testing.TB, r *x509.CertificateRequest) { r.Subject.CommonName = "root" }, `common name "root"`, false},
	{"a second common name", func(_ testing.TB, r *x509.CertificateRequest) {
		r.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "root"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "a"}}
	}, `common name "root"`, false},
	{"an organization", func(_ testing.TB, r *x509.CertificateRequest) {
		r.Subject.Organization = append(r.Subject.Organization, "system:masters")
	}, `organization "system:masters"`, false},
	{"an organizational unit", func(_ testing.TB, r *x509.CertificateRequest) { r.Subject.OrganizationalUnit = []string{"ops"} }, `subject attribute 2.5.4.11 "ops"`, false},
	{"a serial number", func(_ testing.TB, r *x509.CertificateRequest) { r.Subject.SerialNumber = "7" }, `subject attribute 2.5.4.5 "7"`, false},
	{"a CA", func(t testing.TB, r *x509.CertificateRequest) {
		r.ExtraExtensions = append(r.ExtraExtensions, extension(t, asn1.ObjectIdentifier{2, 5, 29, 19}, struct{ CA bool }{true}))
	}, "extension basic constraints", false},
	{"a key usage", func(t testing.TB, r *x509.CertificateRequest) {
		r.ExtraExtensions = append(r.ExtraExtensions, extension(t, asn1.ObjectIdentifier{2, 5, 29, 15}, asn1.BitString{Bytes: []byte{4}, BitLength: 6}))
	}, "extension key usage", false},
	{"an extended key usage", func(t testing.TB, r *x509.CertificateRequest) {
		any := []asn1.ObjectIdentifier{{2, 5, 29, 37, 0}}
		r.ExtraExtensions = append(r.ExtraExtensions, extension(t, asn1.ObjectIdentifier{2, 5, 29, 37}, any))
	}, "extension extended key usage", false},
	{"a delegation, which cfssl copies", func(t testing.TB, r *x509.CertificateRequest) {
		r.ExtraExtensions = append(r.ExtraExtensions, extension(t, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 44363, 44}, asn1.NullRawValue))
	}, "extension 1.3.6.1.4.1.44363.44", false},
	{"no DNS name", func(_ testing.TB, r *x509.CertificateRequest) { r.DNSNames = r.DNSNames[1:] }, `lacks what was requested: DNS name "a.example.com"`, true},
	{"no address", func(_ testing.TB, r *x509.CertificateRequest) { r.IPAddresses = nil }, "lacks what was requested: IP address 192.0.2.11", true},
	{"no organization", func(_ testing.TB, r *x509.CertificateRequest) { r.Subject.Organization = nil }, `lacks what was requested: organization "etcd"`, true},
	{"no common name", func(_ testing.TB, r *x509.CertificateRequest) { r.Subject.CommonName = "" }, `lacks what was requested: common name "a"`, true},
}

func TestSmuggledClaims(t *testing.T) {
	ca, holder := authority(t, "ca"), key(t, ECDSAP256)
	for _, c := range smuggled {
		want := member()
		made := template(want)
		c.edit(t, &made)
		request := requestPEM(t, made, holder)
		if _, err := ca.Sign(t.Context(), request, want, now); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: Sign says %v, want %q", c.name, err, c.says)
		}
		if _, err := ca.SignRequest(t.Context(), request, want, now); c.lacks != (err == nil) {
			t.Errorf("%s: SignRequest says %v", c.name, err)
		}
	}
}

func TestNothingOfARequestGetsPastItsCheck(t *testing.T) {
	// The check of the request is left out here: cfssl by itself must not copy anything either.
	ca, holder, want := authority(t, "ca"), key(t, ECDSAP256), member()
	for _, c := range smuggled {
		made := template(want)
		c.edit(t, &made)
		block, _ := pem.Decode(requestPEM(t, made, holder))
		signed, err := ca.issue(t.Context(), block.Bytes, holder.Public(), want, now)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		claims, err := cert.Claims(signed)
		if extra, missing := cert.CompareClaims(want.Claims(), claims); err != nil || len(extra)+len(missing) > 0 {
			t.Errorf("%s: the certificate adds %q and lacks %q, %v", c.name, extra, missing, err)
		}
	}
}

func TestBrokenRequests(t *testing.T) {
	ca, want := authority(t, "ca"), member()
	honest := requestPEM(t, template(want), key(t, ECDSAP256))
	block, _ := pem.Decode(honest)
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	changed := func(at int) []byte {
		der := bytes.Clone(block.Bytes)
		der[at] ^= 1
		return encode("CERTIFICATE REQUEST", der)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	odd, err := rsa.GenerateKey(rand.Reader, 2056)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		request []byte
		says    string
	}{
		"nothing":                  {nil, "no PEM block"},
		"a certificate":            {ca.CertificatePEM(), `a PEM block "CERTIFICATE" where`},
		"two requests":             {append(bytes.Clone(honest), honest...), "must be the only one"},
		"trailing text":            {append(bytes.Clone(honest), 'x'), "must be the only one"},
		"trailing bytes":           {encode("CERTIFICATE REQUEST", append(bytes.Clone(block.Bytes), 0)), "trailing data"},
		"rubbish":                  {encode("CERTIFICATE REQUEST", []byte("rubbish")), "asn1"},
		"a name changed":           {changed(bytes.Index(block.Bytes, []byte("localhost"))), "not signed by its own key"},
		"the signature changed":    {changed(len(block.Bytes) - 1), "not signed by its own key"},
		"the public key exchanged": {exchanged(t, block.Bytes), "not signed by its own key"},
		"P-521":                    {requestPEM(t, template(want), p521), `"ecdsa-p521" is not supported`},
		"ed25519":                  {requestPEM(t, template(want), ed), "is not supported; it must be one of ecdsa-p256"},
		"P-224":                    {requestPEM(t, template(want), p224), `"ecdsa-p224" is not supported`},
		"a weak RSA":               {requestPEM(t, template(want), weak), `"rsa-1024" is not supported`},
		"an odd RSA":               {requestPEM(t, template(want), odd), `"rsa-2056" is not supported`},
	} {
		for method, sign := range map[string]func() ([]byte, error){
			"Sign":        func() ([]byte, error) { return ca.Sign(t.Context(), c.request, want, now) },
			"SignRequest": func() ([]byte, error) { return ca.SignRequest(t.Context(), c.request, want, now) },
		} {
			signed, err := sign()
			if err == nil || signed != nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s of %s: got %v, want %q", method, name, err, c.says)
			}
			if err != nil && !strings.HasPrefix(err.Error(), `sign the server certificate of "a" by the authority "ca" (valid until 2041-`) {
				t.Errorf("%s of %s: %q does not say what failed", method, name, err)
			}
		}
	}
	for _, kind := range []string{"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"} {
		if _, err := ca.Sign(t.Context(), append([]byte("text that openssl writes\n"), encode(kind, block.Bytes)...), want, now); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// exchanged puts another key into a request.
func exchanged(t *testing.T, der []byte) []byte {
	t.Helper()
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKIXPublicKey(key(t, ECDSAP256).Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: bytes.Replace(der, request.RawSubjectPublicKeyInfo, other, 1)})
}

func TestRefusalsStayShort(t *testing.T) {
	ca, want := authority(t, "ca"), member()
	made := template(want)
	for range 1000 {
		made.DNSNames = append(made.DNSNames, strings.Repeat("evil.", 200))
	}
	_, err := ca.Sign(t.Context(), requestPEM(t, made, key(t, ECDSAP256)), want, now)
	if err == nil || len(err.Error()) > 2000 || !strings.Contains(err.Error(), "and 995 more") {
		t.Errorf("got %v", err)
	}
}

// The provider checks what cfssl, or another signer, has signed before it uses the certificate.
func TestWhatIsSignedIsLookedAt(t *testing.T) {
	ca, want := authority(t, "ca"), member()
	leaf, err := ca.NewLeaf(t.Context(), want, ECDSAP256, now)
	if err != nil {
		t.Fatal(err)
	}
	own, err := NewAuthority(want.CommonName, ECDSAP256, DefaultAuthorityLifetime, now)
	if err != nil {
		t.Fatal(err)
	}
	versatile := *leaf.certificate
	versatile.KeyUsage |= x509.KeyUsageKeyEncipherment
	for _, c := range []struct {
		name string
		pair KeyPair
		key  KeyPair
		edit func(*Request)
		says string // empty: the certificate conforms
	}{
		{"as wanted", leaf, leaf, func(*Request) {}, ""},
		{"another key", leaf, ca.KeyPair, func(*Request) {}, "for another key"},
		{"one name too many", leaf, leaf, func(r *Request) { r.DNSNames = r.DNSNames[1:] }, `it adds [DNS name "a.example.com"]`},
		{"one name too few", leaf, leaf, func(r *Request) { r.DNSNames = append(r.DNSNames, "b") }, `lacks [DNS name "b"]`},
		{"another profile", leaf, leaf, func(r *Request) { r.Profile = Client }, "usages are not those of profile client"},
		{"another key usage", KeyPair{certificate: &versatile, key: leaf.key}, leaf, func(*Request) {}, "usages are not those of profile server"},
		{"an authority", own.KeyPair, own.KeyPair, func(r *Request) { *r = Request{Profile: Client, CommonName: r.CommonName} }, "it is an authority's"},
	} {
		want := member()
		c.edit(&want)
		err := order.Check(c.pair.certificate, ca.chain(), c.key.key.Public(), want, ca.tolerated, now)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
	}
}

// An imported authority may be limited in what it may sign for. That must not show only when members refuse each other.
func TestALimitedAuthorityIsFoundOut(t *testing.T) {
	own := key(t, ECDSAP256)
	der, err := x509.MarshalPKCS8PrivateKey(own)
	limited := func(limit func(*x509.Certificate)) (*Authority, error) {
		return ParseAuthority(homemade(t, own, limit), pemOf(t, "PRIVATE KEY", der, err), now)
	}
	if _, err := limited(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }); err == nil || !strings.Contains(err.Error(), "server and client authentication") {
		t.Errorf("limited to clients: %v", err)
	}
	ca, err := limited(func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.net"} })
	if err != nil {
		t.Fatal(err)
	}
	want := member()
	if _, err := ca.Sign(t.Context(), requestPEM(t, template(want), key(t, ECDSAP256)), want, now); err == nil || !strings.Contains(err.Error(), "was discarded") {
		t.Errorf("limited to other names: %v", err)
	}
}
