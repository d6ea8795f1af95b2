package cert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// authority returns a self-signed certificate, PEM, and its key.
func authority(t *testing.T, name string) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: now.Add(-Backdate), NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: BlockType, Bytes: der}), key
}

func TestParse(t *testing.T) {
	a, _ := authority(t, "a")
	b, _ := authority(t, "b")
	join := func(parts ...string) []byte { return []byte(strings.Join(parts, "\n")) }
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	for name, test := range map[string]struct {
		text  []byte
		names string // of the certificates that are read
		says  string
	}{
		"one":                    {a, "a", ""},
		"two":                    {join(string(a), string(b)), "a b", ""},
		"text around them":       {join("# the old one", string(a), "# and the new", string(b), "# end"), "a b", ""},
		"nothing":                {nil, "", "no certificate"},
		"no PEM":                 {[]byte("x"), "", "no certificate"},
		"the second is cut off":  {join(string(a), string(b[:len(b)/2])), "", "cannot be read"},
		"a key beside it":        {join(string(a), key), "", "private key"},
		"line ends of Windows":   {[]byte(strings.ReplaceAll(string(join(string(a), "# and", string(b))), "\n", "\r\n")), "a b", ""},
		"a broken key before":    {join(strings.Replace(key, "\n", "\n!", 1), string(a)), "", "private key"},
		"a broken block between": {join(string(a), strings.Replace(string(b), "\n", "\n!", 1), string(a)), "", "cannot be read"},
		"a key in a comment":     {join(string(a), "# "+strings.ReplaceAll(strings.TrimSpace(key), "\n", "\n# ")), "", "private key"},
		"a key in its headers":   {bytes.Replace(a, []byte("\n"), []byte("\nNote: -----BEGIN EC PRIVATE KEY-----\n\n"), 1), "", "private key"},
		"a key of openssh":       {join("-----BEGIN OPENSSH PRIVATE KEY-----", string(a)), "", "private key"},
		"a key indented":         {join("  "+strings.ReplaceAll(key, "\n", "\n  "), string(a)), "", "private key"},
		"a block of other bytes": {pem.EncodeToMemory(&pem.Block{Type: BlockType, Bytes: []byte("x")}), "", "x509"},
	} {
		all, err := Parse(test.text)
		var names []string
		for _, c := range all {
			names = append(names, c.Subject.CommonName)
		}
		if got := strings.Join(names, " "); got != test.names || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := ParseOne(append(bytes.Clone(a), b...)); err == nil {
		t.Error("two pass for one")
	}
}

func TestWhoseItIs(t *testing.T) {
	text, key := authority(t, "a")
	other, otherKey := authority(t, "a")
	a, err := ParseLeaf(text)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseLeaf(other)
	if err != nil {
		t.Fatal(err)
	}
	if !IsFor(a, key.Public()) || IsFor(a, otherKey.Public()) || IsFor(a, "no key") {
		t.Error("a certificate is taken for another key's, or its own key is not known")
	}
	if !IsOf(a, a) || IsOf(a, b) {
		t.Error("an authority is taken for another of the same name")
	}
	if !Issued(a).Equal(now) {
		t.Errorf("issued at %s", Issued(a))
	}
	for at, well := range map[time.Time]bool{now: true, now.Add(-Backdate - time.Second): false, now.Add(2 * time.Hour): false} {
		if err := Verify(a, []*x509.Certificate{b, a}, at, x509.ExtKeyUsageAny); (err == nil) != well {
			t.Errorf("at %s: %v", at, err)
		}
	}
	if err := Verify(a, []*x509.Certificate{b}, now, x509.ExtKeyUsageAny); err == nil {
		t.Error("an authority vouches for another of its name")
	}
}

// TestSame holds that texts differ by their certificates, and not by what is around these.
func TestSame(t *testing.T) {
	textA, _ := authority(t, "a")
	textB, _ := authority(t, "a")
	one, other := string(textA), string(textB)
	for name, test := range map[string]struct {
		a, b string
		want bool
	}{
		"itself":             {one, one, true},
		"as openssl writes":  {one, "Certificate:\n    Data:\n" + strings.ReplaceAll(one, "\n", "\r\n") + "\n", true},
		"another":            {one, other, false},
		"one more":           {one, one + other, false},
		"one repeated":       {one + other, one + other + strings.ReplaceAll(one, "\n", "\r\n"), true},
		"another order":      {one + other, other + one, false},
		"no certificate":     {one, "", false},
		"two texts of none":  {"x", "y", false},
		"a text that's none": {"x", "x", true},
	} {
		if Same(test.a, test.b) != test.want || Same(test.b, test.a) != test.want {
			t.Errorf("%s: not %t", name, test.want)
		}
	}
}
