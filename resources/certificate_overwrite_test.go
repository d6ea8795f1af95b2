package resources

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

// another is an authority of somebody else, and a certificate that it has signed, both PEM.
func another(t *testing.T) (authority, certificate string) {
	t.Helper()
	made, err := newAuthority("prod", "ecdsa-p256", 1000*time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	clients, err := made.Client.parse(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := clients.NewLeaf(pki.Request{Profile: pki.Client, CommonName: "app", Lifetime: 100 * time.Hour}, "ecdsa-p256", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return made.Client.Certificate.ValueString(), string(leaf.CertificatePEM())
}

// TestFilesOfAnotherAuthorityAreNotOverwritten has files at the places where certificates are to be written, as after a state was
// lost: a new authority would take their place. What is there stays, and no key is made.
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
		// Its own that is damaged is mended; what somebody else has put there since is not touched, and the plan says so.
		tftest.TestStep{PreConfig: func() { put(".ca", "damaged")() }, Config: keyFile(file), Check: verified(file)},
		tftest.TestStep{PreConfig: func() { put(".ca", ca)() }, Config: keyFile(file), ExpectError: saysInOrder("client.key.ca is not overwritten: it holds a certificate of another authority", "Nothing was changed")},
		tftest.TestStep{PreConfig: func() { _ = os.Remove(file + ".ca") }, Config: keyFile(file), Check: verified(file)},
	)...)
}

// TestSharedAuthorityFile has certificates that name one file for the authority's: it stays as long as one of them does, and goes
// with the authority.
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
