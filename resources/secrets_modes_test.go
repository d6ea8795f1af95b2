package resources_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/remote/remotetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
)

// TestStatesOfEachMode compares what states hold of private keys with what the security guide says, for each way in
// which the provider gets the authorities' keys.
func TestStatesOfEachMode(t *testing.T) {
	given := func(t *testing.T) string {
		both, err := authority.Of(madeAuthorities(t, "prod", 8760*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		pair := func(k authority.KeyPair) string {
			return fmt.Sprintf("{ certificate = %q, private_key = %q }", k.Certificate.ValueString(), k.PrivateKey.Reveal())
		}
		return fmt.Sprintf("{ peer = %s, client = %s }", pair(both.Peer), pair(both.Client))
	}
	leaveOut := regexp.MustCompile(`, private_key = "[^"]*"`)
	guide := string(mustRead(t, "../templates/docs/guides/security.md.tmpl"))
	modes := map[string]func(t *testing.T) []string{ // the values of pki, one apply after the other
		"made by `etcd_pki`": func(*testing.T) []string { return []string{"etcd_pki.prod.authority"} },
		"given to `pki`, as from an ephemeral resource that reads a vault": func(t *testing.T) []string { return []string{given(t)} },
		"held by [a signing server](remote-signer.md)":                     func(t *testing.T) []string { return []string{newSigners(t).both()} },
		"left out of `pki`": func(t *testing.T) []string {
			whole := given(t)
			return []string{whole, leaveOut.ReplaceAllString(whole, "")}
		},
	}
	for mode, values := range modes {
		t.Run(mode, func(t *testing.T) {
			w := newWorld(t)
			row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(mode) + ` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$`).FindStringSubmatch(guide)
			if row == nil {
				t.Fatal("the guide says nothing of it")
			}
			file := filepath.Join(t.TempDir(), "client.key")
			want := map[string]string{"etcd_pki": row[1], "etcd_cluster": row[2], "etcd_certificate": row[2]}
			config := func(pki string) string {
				text := strings.Replace(three(unprotected), "etcd_pki.prod.authority", "local.pki", 1) + fmt.Sprintf(`
					locals { pki = %s }
					resource "etcd_certificate" "client" {
						pki              = local.pki
						common_name      = "app"
						private_key_file = %q
					}`, pki, file)
				if !strings.Contains(pki, "etcd_pki") {
					text = strings.Replace(text, `resource "etcd_pki" "prod" { name = "prod" }`, "", 1)
				}
				return text
			}
			var steps []tftest.TestStep
			for _, pki := range values(t) {
				steps = append(steps, tftest.TestStep{Config: config(pki), Check: func(s *terraform.State) error {
					held := map[string]string{"etcd_pki": "no such resource"}
					for _, resource := range s.RootModule().Resources {
						held[resource.Type] = "none"
						for _, value := range resource.Primary.Attributes {
							if privateKey.MatchString(value) || strings.Contains(value, remotetest.Key) {
								held[resource.Type] = "the keys"
							}
						}
					}
					for kind, says := range want {
						if held[kind] != says {
							return fmt.Errorf("the state of %s holds %q, and the guide says %q", kind, held[kind], says)
						}
					}
					for _, kept := range w.privately() {
						if text := unpacked(t, kept); privateKey.MatchString(text) || strings.Contains(text, remotetest.Key) {
							return fmt.Errorf("private state holds a key")
						}
					}
					return nil
				}})
			}
			w.run(t, steps...)
		})
	}
	rows := regexp.MustCompile(`(?m)^\| the authorities' keys \|.*\n\|[-|]*\n((?:\|.*\n)*)`).FindStringSubmatch(guide)
	if rows == nil || strings.Count(rows[1], "\n") != len(modes) {
		t.Errorf("the guide has other modes than those that are looked at: %v", rows)
	}
}
