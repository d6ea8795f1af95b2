package resources_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/certificates"
)

const certificate = "etcd_certificate.client"

// client is a configuration of a client certificate with these attributes.
func client(says string, arguments ...any) string {
	return fmt.Sprintf(`
		resource "etcd_pki" "prod" { name = "prod" }
		resource "etcd_certificate" "client" {
			pki         = etcd_pki.prod.client_authority
			common_name = "app"
			`+says+`
		}`, arguments...)
}

func keyFile(file string) string {
	return client(`private_key_file = %q
		certificate_file = %q
		ca_certificate_file = %q
		organization = ["platform"]`, file, file+".crt", file+".ca")
}

// verified checks that a server of the cluster accepts the client certificate in the files.
func verified(file string) tftest.TestCheckFunc {
	return func(*terraform.State) error {
		pair, err := tls.LoadX509KeyPair(file+".crt", file)
		if err != nil {
			return err
		}
		ca, err := os.ReadFile(file + ".ca")
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			return err
		}
		if subject := pair.Leaf.Subject.String(); subject != "CN=app,O=platform" {
			return fmt.Errorf("subject is %s", subject)
		}
		info, err := os.Stat(file)
		if err == nil && info.Mode().Perm() != 0o600 {
			err = fmt.Errorf("the key has mode %v", info.Mode())
		}
		return err
	}
}

func TestCertificateWithKeyFile(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "client.key")
	var first, second, whole []byte
	spoil := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.run(t,
		tftest.TestStep{Config: keyFile(file), Check: verified(file)},
		tftest.TestStep{ // Another subject keeps the key.
			PreConfig: func() { first = mustRead(t, file) },
			Config:    strings.Replace(keyFile(file), `"app"`, `"other"`, 1),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(certificate, plancheck.ResourceActionUpdate),
			}},
			Check: func(*terraform.State) error {
				if second = mustRead(t, file); string(first) != string(second) {
					return errors.New("the key was made anew")
				}
				_, err := tls.LoadX509KeyPair(file+".crt", file)
				return err
			},
		},
		tftest.TestStep{ // A missing file is written again.
			PreConfig: func() { mustRemove(t, file+".crt") },
			Config:    keyFile(file), Check: verified(file),
		},
		tftest.TestStep{ // A missing key is made again.
			PreConfig: func() { mustRemove(t, file) },
			Config:    keyFile(file), Check: verified(file),
		},
		tftest.TestStep{ // A key that others can read is refused.
			PreConfig: func() { mustChmod(t, file, 0o644) },
			Config:    keyFile(file), ExpectError: saysInOrder("has mode 0644, so that others can use the key: chmod 600"),
		},
		tftest.TestStep{ // A file that is no key is refused too, by the plan.
			PreConfig: func() {
				mustChmod(t, file, 0o600)
				whole = mustRead(t, file)
				spoil("no key")
			},
			Config: keyFile(file), ExpectError: saysInOrder("it holds no PEM"),
		},
		tftest.TestStep{PreConfig: func() { spoil(string(whole)) }, Config: keyFile(file), Check: verified(file)},
	)
	for _, path := range []string{file, file + ".crt", file + ".ca"} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("destroy has left %s: %v", path, err)
		}
	}
}

// TestCertificateOfFoundKey holds that a key which somebody else has made is neither overwritten nor deleted.
func TestCertificateOfFoundKey(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "client.key")
	key, _ := madeKey(t)
	if err := os.WriteFile(file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(t, tftest.TestStep{Config: keyFile(file), Check: verified(file)})
	if got := mustRead(t, file); string(got) != string(key) {
		t.Error("the key was overwritten")
	}
}

func TestCertificateIsRenewed(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "client.key")
	config := client("validity = \"100h\"\n renew_before = \"10h\"\n private_key_file = %q", file)
	var first string
	w.run(t,
		tftest.TestStep{Config: config, Check: tftest.TestCheckResourceAttrWith(certificate, "serial_number", func(serial string) error {
			first = serial
			return nil
		})},
		tftest.TestStep{PreConfig: func() { w.Clock = w.Clock.Add(89 * time.Hour) }, Config: config, PlanOnly: true},
		tftest.TestStep{
			PreConfig: func() { w.Clock = w.Clock.Add(2 * time.Hour) }, Config: config,
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(certificate, plancheck.ResourceActionUpdate),
			}},
			Check: tftest.ComposeAggregateTestCheckFunc(
				tftest.TestCheckNoResourceAttr(certificate, "renewal_due"),
				tftest.TestCheckResourceAttrWith(certificate, "serial_number", func(serial string) error {
					if serial == first {
						return errors.New("the certificate is the old one")
					}
					return nil
				})),
		},
		tftest.TestStep{Config: config, PlanOnly: true})
}

// TestCertificatePurpose holds what plans say they are for: an expiring certificate is renewed for its key, and a plan
// that makes another key, or writes files on another machine, is no renewal.
func TestCertificatePurpose(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	file := filepath.Join(dir, "client.key")
	config := func(says string) string {
		return client("validity = \"100h\"\n renew_before = \"10h\"\n private_key_file = %q\n certificate_file = %q\n ca_certificate_file = %q\n"+says, file, file+".crt", file+".ca")
	}
	expire := func() { w.Clock = w.Clock.Add(91 * time.Hour) }
	gone := func(ends ...string) func() {
		return func() {
			for _, end := range ends {
				mustRemove(t, file+end)
			}
		}
	}
	planned := func(before func(), config, want string, more ...plancheck.PlanCheck) tftest.TestStep {
		return tftest.TestStep{PreConfig: before, Config: config, ConfigPlanChecks: tftest.ConfigPlanChecks{
			PreApply:             append([]plancheck.PlanCheck{purposeOf{certificate, want}}, more...),
			PostApplyPostRefresh: []plancheck.PlanCheck{purposeOf{certificate, "none"}},
		}}
	}
	both := func(one, other func()) func() { return func() { one(); other() } }
	fails := func(step tftest.TestStep, why string) tftest.TestStep {
		step.ExpectError = says(why)
		return step
	}
	_, csr := madeKey(t)
	request := client("validity = \"100h\"\n renew_before = \"10h\"\n csr = %q", csr)
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	theirs := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	keyIn := func(file string) string { // its curve
		block, _ := pem.Decode(mustRead(t, file))
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if key, is := parsed.(*ecdsa.PrivateKey); err == nil && is {
			return key.Curve.Params().Name
		}
		return fmt.Sprintf("%T", parsed)
	}
	var key []byte
	w.run(t,
		planned(nil, config(""), "create"),
		planned(func() { key = mustRead(t, file) }, config(""), "none"),
		planned(expire, config(""), "renewal"),
		planned(expire, config(`organization = ["platform"]`), "change"),
		planned(gone(".crt"), config(`organization = ["platform"]`), "reissue"),
		planned(gone(".ca"), config(""), "change"),
		planned(gone(".ca"), config(""), "reissue"),
		// Another algorithm replaces a key that the resource has made, and no other key.
		planned(func() { w.warned() }, config(`algorithm = "ecdsa-p384"`), "change"),
		planned(func() {
			if is := keyIn(file); is != "P-384" || !strings.Contains(w.warned(), "The private key is replaced") {
				t.Errorf("the key is on %s, or no plan has warned", is)
			}
		}, config(""), "change"),
		planned(func() {
			if is := keyIn(file); is != "P-256" {
				t.Errorf("the key is on %s", is)
			}
			write(t, file, string(theirs), 0o600)
		}, config(""), "reissue"),
		planned(nil, config(`algorithm = "rsa-2048"`), "change"),
		planned(func() {
			if string(mustRead(t, file)) != string(theirs) {
				t.Error("somebody's key is overwritten")
			}
		}, config(""), "change"),
		planned(gone(""), config(""), "reissue"),
		// A renewal does not make another key if the key disappears after the plan.
		fails(planned(both(expire, func() { key = mustRead(t, file) }), config(""), "renewal", meanwhile(func() {
			if err := os.Rename(file, file+".kept"); err != nil {
				t.Error(err)
			}
		})), "no other key is made for what was to be a renewal. Plan again"),
		// A runner without any of the files, in the month in which the certificate expires.
		planned(func() {
			if string(key) != string(mustRead(t, file+".kept")) {
				t.Error("the key was made anew")
			}
			gone(".crt", ".ca", ".kept")()
		}, config(""), "reissue"),
		planned(both(expire, gone("")), config(""), "reissue"),
		planned(gone(""), config(""), "reissue"),
		// If the key is kept elsewhere, the certificate is renewed on any machine.
		planned(nil, request, "change"),
		planned(expire, request, "renewal"),
	)
}

// TestCertificateRequest holds that the key stays with the author of a certificate request.
func TestCertificateRequest(t *testing.T) {
	w := newWorld(t)
	_, plain := madeKey(t)
	hostile := request(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: "app"}, DNSNames: []string{"db.example.com"}})
	w.run(t,
		tftest.TestStep{Config: client("csr = %q", hostile), ExpectError: says("holds what was not requested: DNS name \"db.example.com\"")},
		tftest.TestStep{Config: client("csr = %q", plain), Check: tftest.TestCheckResourceAttrWith(certificate, "certificate", func(text string) error {
			block, _ := pem.Decode([]byte(text))
			parsed, err := x509.ParseCertificate(block.Bytes)
			if err == nil && parsed.Subject.CommonName != "app" {
				err = fmt.Errorf("subject is %s", parsed.Subject)
			}
			return err
		})},
		tftest.TestStep{Config: client("csr = %q", plain), PlanOnly: true})
}

func TestCertificateRefuses(t *testing.T) {
	newWorld(t).run(t,
		tftest.TestStep{Config: client(""), ExpectError: says("Exactly one of")},
		tftest.TestStep{Config: client(`csr = "x"
			private_key_file = "y"`), ExpectError: says("Exactly one of")},
		tftest.TestStep{Config: client(`csr = "x"
			validity = "1m"`), ExpectError: says("a certificate would be over before it is of use")},
		tftest.TestStep{Config: client(`csr = "x"
			validity = "48h"`), ExpectError: says("renew_before is 720h and validity 48h")})
}

// TestForeignAuthorities holds that authorities from elsewhere, given as pki, have to be able to sign.
func TestForeignAuthorities(t *testing.T) {
	one, err := authority.Of(madeAuthorities(t, "one", time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	with := func(clients, key string) string {
		return fmt.Sprintf(`resource "etcd_certificate" "client" {
			common_name = "app"
			csr     = "x"
			pki = { client = { certificate = %q, private_key = %q } }
		}`, clients, key)
	}
	clients, key := one.Client.Certificate.ValueString(), one.Client.PrivateKey.Reveal()
	newWorld(t).run(t,
		tftest.TestStep{Config: with(clients, one.Peer.PrivateKey.Reveal()), ExpectError: says("the private key belongs to another certificate")},
		tftest.TestStep{Config: with("nonsense", key), ExpectError: says("read the authority's certificate")},
		tftest.TestStep{Config: with(clients, "nonsense"), ExpectError: says("it must be PEM")})
}

func madeAuthorities(t *testing.T, name string, lifetime time.Duration) pki.Authorities {
	t.Helper()
	made, err := pki.NewAuthorities(name, pki.DefaultAlgorithm, lifetime, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestCertificateByEitherAuthority holds that a certificate needs only the authority for clients. The object with the
// peers' key works too, without that key reaching the provider, and going from one object to the other changes nothing.
func TestCertificateByEitherAuthority(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "client.key")
	const half, both = "etcd_pki.prod.client_authority", "etcd_pki.prod.authority"
	config := keyFile(file)
	w.run(t,
		tftest.TestStep{Config: config, Check: tftest.ComposeAggregateTestCheckFunc(verified(file),
			tftest.TestCheckResourceAttrPair("etcd_pki.prod", "client_authority.client.private_key", "etcd_pki.prod", "authority.client.private_key"),
			tftest.TestCheckResourceAttrPair("etcd_pki.prod", "client_authority.client.certificate", certificate, "ca_certificate"),
			func(s *terraform.State) error {
				state := s.RootModule().Resources["etcd_pki.prod"].Primary.Attributes
				for name, value := range state {
					if strings.HasPrefix(name, "client_authority.") && value == state["authority.peer.private_key"] {
						return fmt.Errorf("%s is the key of the peers", name)
					}
				}
				return nil
			})},
		tftest.TestStep{Config: strings.Replace(config, half, both, 1), PlanOnly: true})
	var resp resource.SchemaResponse
	certificates.NewCertificate().Schema(t.Context(), resource.SchemaRequest{}, &resp)
	if _, takes := resp.Schema.Attributes["pki"].(schema.SingleNestedAttribute).Attributes["peer"]; takes {
		t.Error("a certificate is handed the key of the peers")
	}
}

// madeKey returns a private key and a request for it, both PEM.
func madeKey(t *testing.T) (key, csr []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})
}

func request(t *testing.T, template x509.CertificateRequest) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func mustRemove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func mustChmod(t *testing.T, file string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

// TestImportRefused holds that the refusal of an import says what to do instead.
func TestImportRefused(t *testing.T) {
	const snapshot = "\nresource \"etcd_snapshot\" \"s\" {\n cluster = { name = \"prod\", owner = \"o\", members = { a = { address = \"192.0.2.11\" } } }\n file = \"s.db\"\n}\n"
	config := client(`private_key_file = %q`, filepath.Join(t.TempDir(), "app")) + snapshot
	newWorld(t).run(t,
		tftest.TestStep{Config: config, ResourceName: certificate, ImportState: true, ImportStateId: "app", ExpectError: says("Take the import out, and apply: where private_key_file is there, that key is used")},
		tftest.TestStep{Config: config, ResourceName: "etcd_snapshot.s", ImportState: true, ImportStateId: "s.db", ExpectError: says("Take the import out, move the file that is there away")})
}
