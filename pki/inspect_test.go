package pki

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

func TestInspect(t *testing.T) {
	ca, want := authority(t, "etcd prod clients"), member()
	signed, err := ca.Sign(t.Context(), requestPEM(t, template(want), key(t, ECDSAP256)), want, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := cert.Inspect(signed)
	if err != nil {
		t.Fatal(err)
	}
	root, err := cert.Inspect(ca.CertificatePEM())
	if err != nil {
		t.Fatal(err)
	}
	if !root.IsCA || root.CommonName != "etcd prod clients" || leaf.IsCA || leaf.CommonName != "a" {
		t.Errorf("authority %+v\nleaf %+v", root, leaf)
	}
	if root.SubjectKeyID == "" || leaf.IssuerKeyID != root.SubjectKeyID || leaf.SubjectKeyID == root.SubjectKeyID {
		t.Errorf("key ids: %q is signed by %q; authority %q", leaf.SubjectKeyID, leaf.IssuerKeyID, root.SubjectKeyID)
	}
	block, _ := pem.Decode(signed)
	if sum := sha256.Sum256(block.Bytes); leaf.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("fingerprint %s", leaf.SHA256)
	}
	if sum := sha256.Sum256(parsed(t, signed).RawSubjectPublicKeyInfo); leaf.PublicKeySHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("public key %s", leaf.PublicKeySHA256)
	}
	if leaf.SerialNumber != hex.EncodeToString(parsed(t, signed).SerialNumber.Bytes()) || len(leaf.SerialNumber) < 16 {
		t.Errorf("serial number %q", leaf.SerialNumber)
	}
	for _, bad := range [][]byte{nil, []byte("x"), append(bytes.Clone(signed), "-----BEGIN CERTIFICATE-----"...)} {
		if _, err := cert.Inspect(bad); err == nil || !strings.HasPrefix(err.Error(), "read the certificate: ") {
			t.Errorf("inspects %q: %v", bad, err)
		}
	}
}

func TestVerify(t *testing.T) {
	ca, other, want := authority(t, "ca"), authority(t, "ca"), member()
	want.Profile = Client
	signed, err := ca.Sign(t.Context(), requestPEM(t, template(want), key(t, ECDSAP256)), want, now)
	if err != nil {
		t.Fatal(err)
	}
	own, another := ca.CertificatePEM(), other.CertificatePEM()
	both := append(bytes.Clone(another), own...)
	for _, c := range []struct {
		name    string
		bundle  []byte
		profile Profile
		at      time.Time
		says    string // empty: it verifies
	}{
		{"its authority", own, Client, now, ""},
		{"old and new authority", both, Client, now, ""},
		{"another authority of the same name", another, Client, now, "signed by unknown authority"},
		{"another usage", own, Server, now, "incompatible key usage"},
		{"another profile", own, "boss", now, "is no profile"},
		{"too early", own, Client, now.Add(-6 * time.Minute), "not yet valid"},
		{"too late", own, Client, now.Add(DefaultLeafLifetime + time.Second), "has expired"},
		{"no authority", nil, Client, now, "holds no certificate"},
		{"a broken bundle", append(bytes.Clone(own), "-----BEGIN CERTIFICATE-----\nAAAA"...), Client, now, "a PEM block that cannot be read"},
	} {
		err := Verify(signed, c.bundle, c.profile, c.at)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
	}
	if err := Verify(nil, own, Client, now); err == nil {
		t.Error("verifies nothing")
	}
}

func TestNeedsRenewal(t *testing.T) {
	year := cert.Info{NotBefore: now, NotAfter: now.Add(360 * 24 * time.Hour)}
	hours := cert.Info{NotBefore: now.Add(-cert.Backdate), NotAfter: now.Add(30 * time.Hour)}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name        string
		info        cert.Info
		after       time.Duration
		renewBefore time.Duration
		want        bool
	}{
		{"a third is left, and a second", year, 240*day - time.Second, 0, false},
		{"a third is left", year, 240 * day, 0, true},
		{"a negative share means a third", year, 240 * day, -day, true},
		{"renewBefore decides", year, 240 * day, 30 * day, false},
		{"renewBefore is reached", year, 330 * day, 30 * day, true},
		{"expired", year, 400 * day, 30 * day, true},
		{"renewBefore is as long as it all: just signed", hours, 0, 30 * time.Hour, false},
		{"renewBefore is longer than it all: just signed", hours, 0, 90 * day, false},
		{"renewBefore is longer than it all: a third", hours, 20 * time.Hour, 90 * day, true},
	} {
		if got := cert.NeedsRenewal(c.info, now.Add(c.after), c.renewBefore); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// Whatever the lifetimes are, a certificate that was just renewed is not due again: otherwise no plan would be empty.
func TestRenewalComesToAnEnd(t *testing.T) {
	ca, err := NewAuthority("ca", ECDSAP256, 48*time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, lifetime := range []time.Duration{MinimumLifetime, time.Hour, 0} {
		for _, renewBefore := range []time.Duration{0, time.Minute, MinimumLifetime, time.Hour, 47 * time.Hour, DefaultLeafLifetime} {
			for _, at := range []time.Duration{0, 47 * time.Hour, 48*time.Hour - MinimumLifetime} {
				leaf, err := ca.NewLeaf(t.Context(), Request{Profile: Client, CommonName: "a", Lifetime: lifetime}, ECDSAP256, now.Add(at))
				if err != nil {
					t.Fatal(err)
				}
				info, err := cert.Inspect(leaf.CertificatePEM())
				if err != nil {
					t.Fatal(err)
				}
				if cert.NeedsRenewal(info, now.Add(at), renewBefore) {
					t.Errorf("lifetime %s, signed %s in, renewed %s before: due at once", lifetime, at, renewBefore)
				}
			}
		}
	}
}
