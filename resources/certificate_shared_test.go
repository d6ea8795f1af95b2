package resources_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// TestTwoCertificatesOfOneFile holds that no certificate overwrites or deletes the files of another one, and that the
// plan names both.
func TestTwoCertificatesOfOneFile(t *testing.T) {
	dir := t.TempDir()
	one := func(resource, name, key, crt, ca string) string {
		return fmt.Sprintf(`
			resource "etcd_certificate" %q {
				pki                 = etcd_pki.prod.client_authority
				common_name         = %q
				private_key_file    = "%[6]s/%[3]s"
				certificate_file    = "%[6]s/%[4]s"
				ca_certificate_file = "%[6]s/%[5]s"
			}`, resource, name, key, crt, ca, dir)
	}
	const pki = `
		resource "etcd_pki" "prod" { name = "prod" }`
	app, metrics := one("app", "app", "app.key", "app.crt", "ca.crt"), one("metrics", "metrics", "metrics.key", "metrics.crt", "ca.crt")
	var key []byte
	keeps := func() {
		if now := mustRead(t, filepath.Join(dir, "app.key")); key != nil && string(now) != string(key) {
			t.Error("the key is another one")
		} else {
			key = now
		}
	}
	newWorld(t).run(t,
		tftest.TestStep{Config: pki + app + one("metrics", "metrics", "app.key", "metrics.crt", "ca.crt"), ExpectError: says("Two certificates have one file")},
		tftest.TestStep{PreConfig: func() {
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
				t.Errorf("the refused plan has left %v", left)
			}
		}, Config: pki + app + one("metrics", "metrics", "metrics.key", "app.crt", "ca.crt"), ExpectError: says("Two certificates have one file")},
		tftest.TestStep{Config: pki + app},
		tftest.TestStep{PreConfig: keeps, Config: pki + app + one("metrics", "metrics", "app.key", "metrics.crt", "ca.crt"), ExpectError: says(`uses the same file`)},
		tftest.TestStep{PreConfig: keeps, Config: pki + app + one("metrics", "metrics", "./app.key", "metrics.crt", "ca.crt"), ExpectError: says(`uses the same file`)},
		tftest.TestStep{PreConfig: keeps, Config: pki + app + one("metrics", "metrics", "metrics.key", "ca.crt", "other.crt"), ExpectError: says(`uses the same file`)},
		tftest.TestStep{Config: pki + app + metrics},
		// An update moves one certificate to the file of the other.
		tftest.TestStep{PreConfig: keeps, Config: pki + app + one("metrics", "metrics", "app.key", "metrics.crt", "ca.crt"), ExpectError: says(`uses the same file`)},
		tftest.TestStep{PreConfig: keeps, Config: pki + app + one("metrics", "metrics", "metrics.key", "app.crt", "ca.crt"), ExpectError: says(`uses the same file`)},
		// One certificate is destroyed in the run that makes another one with its key.
		tftest.TestStep{PreConfig: keeps, Config: pki + metrics + one("renamed", "other", "app.key", "app.crt", "ca.crt"), ExpectError: says("add a moved block")},
		tftest.TestStep{PreConfig: keeps, Config: pki + app + metrics, PlanOnly: true},
		// Any certificate may use a key that somebody else has made.
		tftest.TestStep{PreConfig: func() {
			keeps()
			text, _ := madeKey(t)
			if err := os.WriteFile(filepath.Join(dir, "given.key"), text, 0o600); err != nil {
				t.Error(err)
			}
		}, Config: pki + one("app", "app", "given.key", "app.crt", "ca.crt") + one("metrics", "metrics", "given.key", "metrics.crt", "ca.crt")},
		tftest.TestStep{Config: pki + one("app", "app", "given.key", "app.crt", "ca.crt")},
	)
	mustRead(t, filepath.Join(dir, "given.key"))
}

// TestCertificateThatIsReplaced plans one resource twice in one run.
func TestCertificateThatIsReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "client.key")
	config := func(trigger string) string {
		return client(`private_key_file = %q
			certificate_file = %q
			ca_certificate_file = %q
			organization = ["platform"]
			lifecycle {
				replace_triggered_by = [terraform_data.trigger]
			}`, file, file+".crt", file+".ca") + fmt.Sprintf("\nresource \"terraform_data\" \"trigger\" { input = %q }\n", trigger)
	}
	newWorld(t).run(t,
		tftest.TestStep{Config: config("1"), Check: verified(file)},
		tftest.TestStep{Config: config("2"), Check: verified(file)},
		// The new certificate exists before the old one is destroyed, and has its key.
		tftest.TestStep{Config: strings.Replace(config("3"), "lifecycle {", "lifecycle {\n create_before_destroy = true\n", 1), Check: verified(file)},
		tftest.TestStep{Config: strings.Replace(config("3"), "lifecycle {", "lifecycle {\n create_before_destroy = true\n", 1), PlanOnly: true},
		tftest.TestStep{Taint: []string{certificate}, Config: config("3"), Check: verified(file)},
	)
}
