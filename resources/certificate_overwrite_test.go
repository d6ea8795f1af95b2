package resources_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// another returns somebody else's authority, and a certificate that it has signed, both PEM.
func another(t *testing.T) (authority, certificate string) {
	t.Helper()
	made := madeAuthorities(t, "prod", 1000*time.Hour)
	leaf, err := made.Clients.NewLeaf(t.Context(), pki.Request{Profile: pki.Client, CommonName: "app", Lifetime: 100 * time.Hour}, "ecdsa-p256", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return string(made.Clients.CertificatePEM()), string(leaf.CertificatePEM())
}

// TestFilesOfAnotherAuthorityAreNotOverwritten has files where certificates of a new authority are to be written, as
// after a lost state. The files stay, and no key is made.
func TestFilesOfAnotherAuthorityAreNotOverwritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "client.key")
	ca, signed := another(t)
	put := func(end, text string) func() {
		return func() {
			for _, end := range []string{".crt", ".ca"} {
				_ = os.Remove(file + end)
			}
			if err := os.WriteFile(file+end, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := func(end, text string) func() {
		return func() {
			if got := mustRead(t, file+end); string(got) != text {
				t.Errorf("%s was overwritten:\n%s", end, got)
			}
			if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a key was made: %v", err)
			}
		}
	}
	after := func() {}
	var steps []tftest.TestStep
	for _, there := range []struct{ end, text, says string }{
		{".ca", ca, "client.key.ca is not overwritten: it holds a certificate of another authority"},
		{".crt", signed, "client.key.crt is not overwritten: it holds a certificate of another authority (CN=app"},
		{".crt", "notes of somebody", "client.key.crt is not overwritten: it holds no certificate"},
		{".ca", ca + "\n" + signed, "client.key.ca is not overwritten"},
	} {
		before, check := put(there.end, there.text), after
		steps = append(steps, tftest.TestStep{
			PreConfig: func() { check(); before() }, Config: keyFile(file),
			ExpectError: says(there.says),
		})
		after = kept(there.end, there.text)
	}
	w := newWorld(t)
	w.run(t, append(steps,
		tftest.TestStep{PreConfig: func() { after(); put(".crt", "")(); _ = os.Remove(file + ".ca") }, Config: keyFile(file), Check: verified(file)},
		// The resource repairs a damaged file of its own, leaves what somebody else has put there since, and says so in
		// the plan.
		tftest.TestStep{PreConfig: func() { put(".ca", string(mustRead(t, file+".ca")[:200])+"\x00\x00")() }, Config: keyFile(file), Check: verified(file)},
		tftest.TestStep{PreConfig: func() { put(".ca", "notes of somebody")() }, Config: keyFile(file), ExpectError: says("client.key.ca is not overwritten: it holds no certificate, but something else")},
		tftest.TestStep{PreConfig: func() { put(".ca", ca)() }, Config: keyFile(file), ExpectError: saysInOrder("client.key.ca is not overwritten: it holds a certificate of another authority", "Nothing was changed")},
		tftest.TestStep{PreConfig: func() { _ = os.Remove(file + ".ca") }, Config: keyFile(file), Check: verified(file)},
	)...)
}

// TestCertificatesOverNoKey has a key where certificates are to be written, however the paths are spelled: beside its
// certificate in one file, and at a place that several attributes name.
func TestCertificatesOverNoKey(t *testing.T) {
	dir := t.TempDir()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	key, _ := madeKey(t)
	file := filepath.Join(dir, "client.key")
	if err := errors.Join(os.WriteFile(file, key, 0o600), os.Mkdir(filepath.Join(dir, "real"), 0o700), os.Symlink("real", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	kept := func() {
		t.Helper()
		if got := mustRead(t, file); string(got) != string(key) {
			t.Errorf("the key was overwritten:\n%s", got)
		}
	}
	at := func(key, certificate, ca string) string {
		return client("private_key_file = %q\ncertificate_file = %q\nca_certificate_file = %q", key, certificate, ca)
	}
	var steps []tftest.TestStep
	for _, same := range []struct{ config, says string }{
		{at(file, file, dir+"/ca"), "private_key_file and certificate_file are both " + file},
		{at(file, dir+"/crt", file), "private_key_file and ca_certificate_file are both " + file},
		{at(file, dir+"/crt", dir+"/crt"), "certificate_file and ca_certificate_file are both"},
		{at(home+"/client.key", "~/client.key", dir+"/ca"), "private_key_file and certificate_file are both " + home + "/client.key"},
		{at(file, dir+"/real/../client.key", dir+"/ca"), "private_key_file and certificate_file are both " + file},
		{at(dir+"/real/new.key", dir+"/link/new.key", dir+"/ca"), "private_key_file and certificate_file are both"},
	} {
		steps = append(steps, tftest.TestStep{Config: same.config, ExpectError: says(same.says)})
	}
	late := client("private_key_file = %q\ncertificate_file = terraform_data.file.output", file) + fmt.Sprintf("\nresource \"terraform_data\" \"file\" {\n input = %q\n}\n", file)
	newWorld(t).run(t, append(steps,
		tftest.TestStep{PreConfig: kept, Config: at(file, dir+"/crt", dir+"/ca")},
		tftest.TestStep{PreConfig: func() {
			if err := os.WriteFile(dir+"/crt", append(mustRead(t, dir+"/crt"), key...), 0o600); err != nil {
				t.Error(err)
			}
		}, Config: at(file, dir+"/crt", dir+"/ca"), ExpectError: says(`crt is not overwritten: it holds a PEM block "EC PRIVATE KEY"`)},
		tftest.TestStep{PreConfig: func() {
			kept()
			if text := string(mustRead(t, dir+"/crt")); !strings.HasSuffix(text, string(key)) {
				t.Errorf("the key beside the certificate was overwritten:\n%s", text)
			}
			mustRemove(t, dir+"/crt")
		}, Config: at(file, dir+"/crt", dir+"/ca")},
		tftest.TestStep{Config: late, ExpectError: says("private_key_file and certificate_file are both " + file)},
	)...)
	kept()
}

// TestSharedAuthorityFile has several certificates name one file for the authority's certificate: the file stays as
// long as one of them exists, and is deleted with the authority.
func TestSharedAuthorityFile(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	of := func(names string) string {
		config := `resource "etcd_pki" "prod" { name = "prod" }`
		for _, name := range strings.Fields(names) {
			config += fmt.Sprintf(`
			resource "etcd_certificate" %[1]q {
				pki                 = etcd_pki.prod.authority
				common_name         = %[1]q
				private_key_file    = "%[2]s/%[1]s.key"
				certificate_file    = "%[2]s/%[1]s.crt"
				ca_certificate_file = %[3]q
			}`, name, dir, ca)
		}
		return config
	}
	there := func(*terraform.State) error {
		text, err := os.ReadFile(ca)
		if err == nil && !strings.Contains(string(text), "CERTIFICATE") {
			err = fmt.Errorf("%s holds %q", ca, text)
		}
		return err
	}
	newWorld(t).run(t,
		tftest.TestStep{Config: of("app metrics backup"), Check: there},
		tftest.TestStep{Config: of("app metrics"), Check: there},
		tftest.TestStep{Config: of("app metrics"), PlanOnly: true},
		tftest.TestStep{Config: of("app"), Check: there},
		tftest.TestStep{Config: of(""), Check: there},
		tftest.TestStep{Config: of("metrics"), Check: there},
	)
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("destroy has left %v (%v)", left, err)
	}
}
