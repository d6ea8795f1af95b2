package certificates

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// TestOnlyCertificatesAreOverwritten holds that a file with anything beside certificates of the authority is not
// overwritten: the rest of the file, a private key above all, may exist nowhere else.
func TestOnlyCertificatesAreOverwritten(t *testing.T) {
	made := func() *pki.Authority {
		both, err := pki.NewAuthorities("prod", pki.DefaultAlgorithm, 1000*time.Hour, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return both.Clients
	}
	ours := made()
	own, foreign := string(ours.CertificatePEM()), string(made().CertificatePEM())
	ca := own
	plain, err := ours.PrivateKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := parseKey(plain)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := requestFor(signer, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := string(plain)
	const refused = "no certificate may take the place of"
	for name, test := range map[string]struct {
		text, before string
		ours         bool
		says         string // empty: it may be overwritten
	}{
		"nothing but space":          {text: " \n"},
		"a certificate":              {text: own},
		"two of them":                {text: "\n" + own + "\n\n" + ca},
		"with a DOS file's lines":    {text: strings.ReplaceAll(own, "\n", "\r\n")},
		"its own":                    {text: foreign, before: foreign, ours: true},
		"its own, cut off":           {text: own[:100], before: own, ours: true},
		"its own, with zeros":        {text: own[:100] + "\x00\x00", before: own, ours: true},
		"another authority":          {text: own + foreign, says: "another authority"},
		"a key after it":             {text: own + key, says: refused},
		"a key before it":            {text: key + own, says: refused},
		"a key alone":                {text: key, says: refused},
		"a key where its own was":    {text: key, before: own, ours: true, says: refused},
		"a key beside its own":       {text: own + key, before: own, ours: true, says: refused},
		"a request":                  {text: own + string(csr), says: refused},
		"a broken key before it":     {text: strings.Replace(key, "M", "!", 1) + own, says: refused},
		"a broken key after it":      {text: own + strings.Replace(key, "M", "!", 1), says: refused},
		"words before it":            {text: "token: hunter2\n" + own, says: refused},
		"words after it":             {text: own + "token: hunter2", says: refused},
		"words in it":                {text: strings.Replace(own, "CERTIFICATE-----\n", "CERTIFICATE-----\ntoken: hunter2\n\n", 1), says: refused},
		"words where its own was":    {text: "token: hunter2", before: own, ours: true, says: refused},
		"a certificate of no sense":  {text: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", says: refused},
		"cut off and of no resource": {text: own[:100], says: refused},
	} {
		file := filepath.Join(t.TempDir(), "file.pem")
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var written earlier
		if test.ours {
			written.files = map[string]string{file: test.before}
		}
		switch err := written.overwritable(file, ca); {
		case test.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%s: it says %v, and not %q", name, err, test.says)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: it tells what is in the file: %v", name, err)
		}
	}
}
