package resources_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

const ownPKI = "etcd_pki.prod"

// kept writes authorities into a directory as an operator keeps them, with those that are trusted beside them.
func kept(t *testing.T, directory string, state map[string]string) {
	t.Helper()
	for file, attribute := range map[string]string{"peer-ca": "authority.peer.", "client-ca": "authority.client.", "peer-ca-trusted": "authority.trusted.peer.", "client-ca-trusted": "authority.trusted.client."} {
		if state[attribute+"certificate"] != "" {
			write(t, filepath.Join(directory, file+".crt"), state[attribute+"certificate"], 0o644)
			write(t, filepath.Join(directory, file+".key"), state[attribute+"private_key"], 0o600)
		}
	}
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.WriteFile(file, []byte(text), mode), os.Chmod(file, mode)); err != nil {
		t.Fatal(err)
	}
}

// TestPKIImport holds that authorities whose state is lost come back from their files, keys included, and that the next
// plan is empty.
func TestPKIImport(t *testing.T) {
	for name, more := range map[string]string{"by default": "", "of a kind": "validity = \"48h30m\"\n algorithm = \"rsa-2048\""} {
		t.Run(name, func(t *testing.T) {
			w, directory := newWorld(t), t.TempDir()
			config := "resource \"etcd_pki\" \"prod\" {\n name = \"prod\"\n" + more + "\n}"
			w.run(t,
				tftest.TestStep{Config: config, Check: func(s *terraform.State) error {
					kept(t, directory, s.RootModule().Resources[ownPKI].Primary.Attributes)
					return nil
				}},
				tftest.TestStep{PreConfig: func() { w.Clock = w.Clock.Add(time.Hour) }, ResourceName: ownPKI, ImportState: true,
					ImportStateId: "prod@" + directory, ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name"},
				tftest.TestStep{Config: config, PlanOnly: true})
		})
	}
}

// TestPKIImportInARotation holds that authorities whose state is lost in the middle of a rotation come back with those
// that are trusted beside them. The rotation continues from its phase once the configuration names the phase.
func TestPKIImportInARotation(t *testing.T) {
	const both, peers, other = `peers = "2", clients = "2"`, `peers = "2"`, "algorithm = \"ecdsa-p384\"\n validity = \"48h\""
	for _, test := range sample.EveryNth(t, 3, []struct{ name, labels, more, phase string }{
		{"both trusted", both, "", "trust"},
		{"both sign", both, "", "sign"},
		{"peers trusted", peers, "", "trust"},
		{"peers sign", peers, "", "sign"},
		{"of another algorithm, trusted", both, other, "trust"},
		{"of another algorithm, sign", both, other, "sign"},
	}) {
		t.Run(test.name, func(t *testing.T) {
			directory := t.TempDir()
			config := func(phase string) string {
				return strings.Replace(rotating(fmt.Sprintf("%s, phase = %q", test.labels, phase)), "name = \"prod\"", "name = \"prod\"\n"+test.more, 1)
			}
			labelless := "resource \"etcd_pki\" \"prod\" {\n name = \"prod\"\n" + test.more + "\n}\n"
			steps := []tftest.TestStep{{Config: rotating("")}, {Config: config("trust")}}
			if test.phase != "trust" {
				steps = append(steps, tftest.TestStep{Config: config(test.phase)})
			}
			steps[len(steps)-1].Check = func(s *terraform.State) error {
				kept(t, directory, s.RootModule().Resources[ownPKI].Primary.Attributes)
				return nil
			}
			steps = append(steps, tftest.TestStep{ResourceName: ownPKI, ImportState: true, ImportStateId: "prod@" + directory,
				ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name", ImportStateVerifyIgnore: []string{"rotation", "client_crl"}},
				tftest.TestStep{Config: "locals {}"}) // the state is lost

			as := func(phase string, numbers ...string) tftest.TestStep {
				check := authorities("peer", numbers...)
				if test.labels == both {
					check = tftest.ComposeAggregateTestCheckFunc(check, authorities("client", numbers...))
				}
				return tftest.TestStep{Config: config(phase), Check: check,
					ConfigPlanChecks: tftest.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}}
			}
			steps = append(steps, []tftest.TestStep{
				{Config: config(test.phase), ResourceName: ownPKI, ImportState: true, ImportStatePersist: true, ImportStateId: "prod@" + directory},
				{Config: labelless, PlanOnly: true},
				{Config: config("retire"), ExpectError: says(fmt.Sprintf("Set phase = %q, and apply", test.phase))},
				as(test.phase, map[string][]string{"trust": {"", " 2"}, "sign": {" 2", ""}}[test.phase]...),
				as("sign", " 2", ""), as("trust", "", " 2"), as("sign", " 2", ""), as("retire", " 2"),
			}...)
			newWorld(t).run(t, steps...)
		})
	}
}

// TestPKIImportOfForeignAuthorities holds that authorities from elsewhere are imported as they are. With their name
// alone, the configuration plans nothing; values that contradict the files are refused with those of the files.
func TestPKIImportOfForeignAuthorities(t *testing.T) {
	w, directory := newWorld(t), t.TempDir()
	for file, lifetime := range map[string]time.Duration{"peer-ca": 100 * time.Hour, "client-ca": 50 * time.Hour} {
		foreign(t, filepath.Join(directory, file), file+" of the company", "ecdsa-p384", w.Clock, lifetime)
	}
	config := func(more string) string {
		return "resource \"etcd_pki\" \"prod\" {\n name = \"prod\"\n" + more + "\n}\n"
	}
	w.run(t,
		tftest.TestStep{Config: config(""), ResourceName: ownPKI, ImportState: true, ImportStatePersist: true, ImportStateId: "prod@" + directory, ImportStateCheck: func(states []*terraform.InstanceState) error {
			for name, want := range map[string]string{"name": "prod", "algorithm": "ecdsa-p384", "validity": "50h5m"} {
				if got := states[0].Attributes[name]; got != want {
					return fmt.Errorf("%s is %q, not %q", name, got, want)
				}
			}
			return nil
		}},
		tftest.TestStep{Config: config(""), PlanOnly: true},
		tftest.TestStep{Config: config("algorithm = \"ecdsa-p384\"\n validity = \"50h5m\""), PlanOnly: true},
		tftest.TestStep{Config: config(`validity = "87600h"`), PlanOnly: true, ExpectError: says(`The authorities that are there have "50h5m". Set validity to that, or leave it out`)},
		tftest.TestStep{Config: config(`algorithm = "rsa-2048"`), PlanOnly: true, ExpectError: says(`have "ecdsa-p384". Set algorithm to that, or leave it out`)})
}

// foreign writes an authority with a name that etcd_pki does not give.
func foreign(t *testing.T, file, name string, algorithm pki.Algorithm, now time.Time, lifetime time.Duration) {
	t.Helper()
	made, err := pki.NewAuthority(name, algorithm, lifetime, now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := made.PrivateKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	write(t, file+".crt", string(made.CertificatePEM()), 0o644)
	write(t, file+".key", string(key), 0o600)
}

// TestPKIImportRefuses holds that no authority is imported that could not sign for the cluster, and that each refusal
// says what to do.
func TestPKIImportRefuses(t *testing.T) {
	w, good := newWorld(t), t.TempDir()
	begin := w.Clock
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	otherKey := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	var state map[string]string
	steps := []tftest.TestStep{{Config: `resource "etcd_pki" "prod" { name = "prod" }`, Check: func(s *terraform.State) error {
		state = s.RootModule().Resources[ownPKI].Primary.Attributes
		kept(t, good, state)
		return nil
	}}}
	refused := func(id, why string, before func()) {
		steps = append(steps, tftest.TestStep{PreConfig: before, ResourceName: ownPKI, ImportState: true, ImportStateId: id, ExpectError: says(why)})
	}
	spoilt := func(why string, spoil func(directory string)) {
		directory := t.TempDir()
		refused("prod@"+directory, why, func() {
			w.Clock = begin
			kept(t, directory, state)
			spoil(directory)
		})
	}
	refused("prod", "it has to be NAME@DIRECTORY", nil)
	refused("@"+good, "it has to be NAME@DIRECTORY", nil)
	refused("Prod@"+good, "it has to be NAME@DIRECTORY", nil)
	refused("prod@"+filepath.Join(good, "none"), "the directory has to hold peer-ca.crt and peer-ca.key", nil)
	refused("other@"+good, `is of the authority "etcd prod peers", and "etcd other peers" is wanted here`, nil)
	spoilt("so that others can use the key: chmod 600", func(d string) { mustChmod(t, filepath.Join(d, "client-ca.key"), 0o640) })
	spoilt("the private key belongs to another certificate", func(d string) { write(t, filepath.Join(d, "peer-ca.key"), otherKey, 0o600) })
	spoilt("it must be PEM (PKCS #8, PKCS #1 or SEC 1) and not encrypted", func(d string) { write(t, filepath.Join(d, "peer-ca.key"), "x", 0o600) })
	spoilt("it holds no certificate", func(d string) { write(t, filepath.Join(d, "peer-ca.crt"), "x", 0o644) })
	spoilt(`is of the authority "etcd prod clients", and "etcd prod peers" is wanted here`, func(d string) {
		for _, end := range []string{".crt", ".key"} {
			write(t, filepath.Join(d, "peer-ca"+end), string(mustRead(t, filepath.Join(d, "client-ca"+end))), 0o600)
		}
	})
	spoilt("every client certificate would open the peer port", func(d string) {
		foreign(t, filepath.Join(d, "peer-ca"), "one for all", "ecdsa-p256", begin, time.Hour)
		for _, end := range []string{".crt", ".key"} {
			write(t, filepath.Join(d, "client-ca"+end), string(mustRead(t, filepath.Join(d, "peer-ca"+end))), 0o600)
		}
	})
	pair := func(d, from, to string) {
		for _, end := range []string{".crt", ".key"} {
			write(t, filepath.Join(d, to+end), string(mustRead(t, filepath.Join(d, from+end))), 0o600)
		}
	}
	spoilt("peer-ca-trusted.key: no such file", func(d string) {
		pair(d, "peer-ca", "peer-ca-trusted")
		mustRemove(t, filepath.Join(d, "peer-ca-trusted.key"))
	})
	spoilt("peer-ca.crt and", func(d string) { pair(d, "peer-ca", "peer-ca-trusted") })
	spoilt(`is of the authority "etcd prod peers", and "etcd prod clients" is wanted here`, func(d string) { pair(d, "peer-ca", "client-ca-trusted") })
	spoilt("every client certificate would open the peer port", func(d string) {
		foreign(t, filepath.Join(d, "peer-ca-trusted"), "one for all", "ecdsa-p256", begin, time.Hour)
		pair(d, "peer-ca-trusted", "client-ca-trusted")
	})
	spoilt("the authority that signs has to be in the files without -trusted", func(d string) {
		foreign(t, filepath.Join(d, "peer-ca-trusted"), "etcd prod peers 2", "ecdsa-p256", begin, time.Hour)
		pair(d, "client-ca", "client-ca-trusted")
		foreign(t, filepath.Join(d, "client-ca"), "etcd prod clients 2", "ecdsa-p256", begin, time.Hour)
	})
	spoilt("an etcd_pki has one algorithm", func(d string) {
		foreign(t, filepath.Join(d, "peer-ca"), "company peers", "ecdsa-p384", begin, time.Hour)
	})
	spoilt("it expired at", func(d string) {
		foreign(t, filepath.Join(d, "peer-ca"), "company peers", "ecdsa-p256", begin.Add(-2*time.Hour), time.Hour)
	})
	w.run(t, steps...)
}
