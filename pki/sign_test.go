package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

func parsed(t testing.TB, text []byte) *x509.Certificate {
	t.Helper()
	c, err := cert.ParseOne(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSignEveryProfileAndKey(t *testing.T) {
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	usages := map[Profile][]x509.ExtKeyUsage{Peer: both, Server: both, Client: {x509.ExtKeyUsageClientAuth}}
	for _, of := range []Algorithm{ECDSAP256, ECDSAP384, RSA2048} {
		ca, err := NewAuthority("ca", of, DefaultAuthorityLifetime, now)
		if err != nil {
			t.Fatal(err)
		}
		for _, algorithm := range Algorithms() {
			for profile, extended := range usages {
				t.Run(fmt.Sprintf("%s/%s/%s", of, algorithm, profile), func(t *testing.T) {
					want, holder := member(), key(t, algorithm)
					want.Profile = profile
					signed, err := ca.Sign(t.Context(), requestPEM(t, template(want), holder), want, now)
					if err != nil {
						t.Fatal(err)
					}
					c := parsed(t, signed)
					if c.KeyUsage != x509.KeyUsageDigitalSignature || !slices.Equal(c.ExtKeyUsage, extended) {
						t.Errorf("key usage %b, extended %v", c.KeyUsage, c.ExtKeyUsage)
					}
					if c.IsCA || !c.BasicConstraintsValid || c.Version != 3 {
						t.Errorf("CA %t, basic constraints %t, version %d", c.IsCA, c.BasicConstraintsValid, c.Version)
					}
					if !bytes.Equal(c.AuthorityKeyId, ca.certificate.SubjectKeyId) || len(c.SubjectKeyId) == 0 {
						t.Errorf("key ids: issuer %x, subject %x", c.AuthorityKeyId, c.SubjectKeyId)
					}
					if !cert.IsFor(c, holder.Public()) {
						t.Error("it is for another key")
					}
					if !c.NotBefore.Equal(now.Add(-5*time.Minute)) || !c.NotAfter.Equal(now.Add(8760*time.Hour)) {
						t.Errorf("it holds from %s to %s", c.NotBefore, c.NotAfter)
					}
					if err := Verify(signed, ca.CertificatePEM(), profile, now); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

// desired draws requests with names and other texts that a Request may hold.
func desired() *rapid.Generator[Request] {
	name := rapid.StringMatching(`[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z][a-z0-9]{0,5}){0,2}`)
	ip := rapid.OneOf(
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 4, 4), func(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) }),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b)).Unmap() }),
	)
	return rapid.Custom(func(t *rapid.T) Request {
		return Request{
			Profile:      rapid.SampledFrom([]Profile{Peer, Server, Client}).Draw(t, "profile"),
			CommonName:   rapid.StringMatching(`[A-Za-z0-9@:/.äé] ?[A-Za-z0-9@:/.äé]{1,20}`).Draw(t, "common name"),
			Organization: rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,5}[ :,+=a-z]{0,5}[a-z]`), 0, 3).Draw(t, "organization"),
			DNSNames:     rapid.SliceOfN(name, 0, 4).Draw(t, "names"),
			IPs:          rapid.SliceOfN(ip, 0, 4).Draw(t, "addresses"),
			Lifetime:     time.Duration(rapid.IntRange(10, 100000).Draw(t, "minutes")) * time.Minute,
		}
	})
}

func TestCertificatesSayExactlyWhatIsAsked(t *testing.T) {
	ca, holder := authority(t, "ca"), key(t, ECDSAP256)
	sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
	rapid.Check(t, func(rt *rapid.T) {
		want := desired().Draw(rt, "want")
		signed, err := ca.Sign(t.Context(), requestPEM(t, template(want), holder), want, now)
		if err != nil {
			rt.Fatal(err)
		}
		brought, err := ca.SignRequest(t.Context(), requestPEM(t, x509.CertificateRequest{}, holder), want, now)
		if err != nil {
			rt.Fatal(err)
		}
		for _, text := range [][]byte{signed, brought} {
			info, err := cert.Inspect(text)
			if err != nil {
				rt.Fatal(err)
			}
			got := Request{Profile: want.Profile, CommonName: info.CommonName, Organization: info.Organization, DNSNames: info.DNSNames, IPs: info.IPs, Lifetime: info.NotAfter.Sub(now)}
			if diff := cmp.Diff(want, got, sorted, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				rt.Fatalf("wanted -, signed +:\n%s", diff)
			}
			if c := parsed(t, text); len(c.EmailAddresses)+len(c.URIs) > 0 {
				rt.Fatalf("it also names %v %v", c.EmailAddresses, c.URIs)
			}
		}
	})
}

func TestRequestsOfAnythingElseAreRefused(t *testing.T) {
	ca, holder := authority(t, "ca"), key(t, ECDSAP256)
	rapid.Check(t, func(rt *rapid.T) {
		want, made := desired().Draw(rt, "want"), desired().Draw(rt, "made")
		extra, missing := cert.CompareClaims(want.Claims(), made.Claims())
		request := requestPEM(t, template(made), holder)
		if _, err := ca.Sign(t.Context(), request, want, now); (err == nil) != (len(extra)+len(missing) == 0) {
			rt.Fatalf("Sign: %v, though it adds %q and lacks %q", err, extra, missing)
		}
		if _, err := ca.SignRequest(t.Context(), request, want, now); (err == nil) != (len(extra) == 0) {
			rt.Fatalf("SignRequest: %v, though it adds %q", err, extra)
		}
	})
}

func TestSignRequestTakesWhatIsLeftOut(t *testing.T) {
	ca, want := authority(t, "ca"), member()
	part := template(want)
	part.Subject.Organization, part.DNSNames, part.IPAddresses = nil, part.DNSNames[:1], nil
	request := requestPEM(t, part, key(t, ECDSAP256))
	if _, err := ca.Sign(t.Context(), request, want, now); err == nil || !strings.Contains(err.Error(),
		`lacks what was requested: organization "etcd", organization "platform", DNS name "localhost", IP address 192.0.2.11, IP address 2001:db8::11`) {
		t.Errorf("Sign: %v", err)
	}
	signed, err := ca.SignRequest(t.Context(), request, want, now)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := cert.Claims(parsed(t, signed))
	if extra, missing := cert.CompareClaims(want.Claims(), claims); err != nil || len(extra)+len(missing) > 0 {
		t.Errorf("it adds %q and lacks %q, %v", extra, missing, err)
	}
}

func TestSignRefusesBadRequests(t *testing.T) {
	ca, holder := authority(t, "ca"), key(t, ECDSAP256)
	for says, edit := range map[string]func(*Request){
		`"boss" is no profile`:                     func(r *Request) { r.Profile = "boss" },
		"the common name is empty":                 func(r *Request) { r.CommonName = " " },
		"the organization is empty":                func(r *Request) { r.Organization = []string{""} },
		"has 65 bytes":                             func(r *Request) { r.CommonName = strings.Repeat("x", 65) },
		"cannot be printed":                        func(r *Request) { r.CommonName = "root\x00.example.com" },
		`"192.0.2.1" is an IP address`:             func(r *Request) { r.DNSNames = []string{"192.0.2.1"} },
		`"*.example.com" is not a DNS name`:        func(r *Request) { r.DNSNames = []string{"*.example.com"} },
		`"a@example.com" is not a DNS name`:        func(r *Request) { r.DNSNames = []string{"a@example.com"} },
		`"https://example.com" is not a DNS name`:  func(r *Request) { r.DNSNames = []string{"https://example.com"} },
		`"a.example.com\nb" is not a DNS name`:     func(r *Request) { r.DNSNames = []string{"a.example.com\nb"} },
		`"" is not a DNS name`:                     func(r *Request) { r.DNSNames = []string{""} },
		"fe80::1%eth0 cannot be in a certificate":  func(r *Request) { r.IPs = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} },
		"invalid IP cannot be in a certificate":    func(r *Request) { r.IPs = []netip.Addr{{}} },
		"a lifetime of 1m0s is too short":          func(r *Request) { r.Lifetime = time.Minute },
		"a lifetime of -1h0m0s is too short; it m": func(r *Request) { r.Lifetime = -time.Hour },
	} {
		want := member()
		request := requestPEM(t, template(want), holder)
		edit(&want)
		if _, err := ca.Sign(t.Context(), request, want, now); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("Sign: got %v, want %q", err, says)
		}
		if _, err := ca.NewLeaf(t.Context(), want, ECDSAP256, now); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("NewLeaf: got %v, want %q", err, says)
		}
	}
}

func TestLeavesEndWithTheirAuthority(t *testing.T) {
	ca, want := authority(t, "ca"), member()
	request, end := requestPEM(t, template(want), key(t, ECDSAP256)), ca.certificate.NotAfter
	for at, ends := range map[time.Time]time.Time{
		now:                           now.Add(DefaultLeafLifetime),
		end.Add(-time.Hour):           end,
		end.Add(-MinimumLifetime):     end,
		end.Add(-9 * time.Minute):     {},
		end:                           {},
		end.Add(time.Hour):            {},
		now.Add(-cert.Backdate):       now.Add(-cert.Backdate + DefaultLeafLifetime),
		now.Add(-cert.Backdate - 1):   {},
		now.Add(500 * time.Second):    now.Add(500*time.Second + DefaultLeafLifetime),
		end.Add(-DefaultLeafLifetime): end,
	} {
		signed, err := ca.Sign(t.Context(), request, want, at)
		switch {
		case ends.IsZero() && err == nil:
			t.Errorf("at %s it signs", at)
		case !ends.IsZero() && err != nil:
			t.Errorf("at %s: %v", at, err)
		case !ends.IsZero() && !parsed(t, signed).NotAfter.Equal(ends):
			t.Errorf("at %s it signs until %s, not %s", at, parsed(t, signed).NotAfter, ends)
		}
	}
}

func TestNewLeaf(t *testing.T) {
	ca, want := authority(t, "ca"), member()
	want.Profile = Client
	for _, algorithm := range []Algorithm{ECDSAP256, ECDSAP384, RSA2048} {
		leaf, err := ca.NewLeaf(t.Context(), want, algorithm, now)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(privateKeyPEM(t, leaf))
		made, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		c := parsed(t, leaf.CertificatePEM())
		if !cert.IsFor(c, made.(crypto.Signer).Public()) {
			t.Error("the key is not the certificate's")
		}
		if err := Verify(leaf.CertificatePEM(), ca.CertificatePEM(), Client, now); err != nil {
			t.Error(err)
		}
		claims, err := cert.Claims(c)
		if extra, missing := cert.CompareClaims(want.Claims(), claims); err != nil || len(extra)+len(missing) > 0 {
			t.Errorf("it adds %q and lacks %q, %v", extra, missing, err)
		}
	}
}

func TestAuthorityMayBeShared(t *testing.T) {
	ca, want := authority(t, "ca"), member()
	request := requestPEM(t, template(want), key(t, ECDSAP256))
	var group sync.WaitGroup
	serials := make([]string, 8)
	for i := range serials {
		group.Go(func() {
			if signed, err := ca.Sign(t.Context(), request, want, now); err != nil {
				t.Error(err)
			} else if info, err := cert.Inspect(signed); err != nil {
				t.Error(err)
			} else {
				serials[i] = info.SerialNumber
			}
		})
	}
	group.Wait()
	slices.Sort(serials)
	if distinct := slices.Compact(slices.Clone(serials)); len(distinct) != len(serials) {
		t.Errorf("serial numbers repeat: %q", serials)
	}
}
