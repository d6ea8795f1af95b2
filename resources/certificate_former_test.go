package resources_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// phases are what configurations say of a rotation, one apply after the other.
var phases = []string{"", `peers = "2", clients = "2"`, `peers = "2", clients = "2", phase = "sign"`, `peers = "2", clients = "2", phase = "retire"`}

// filed is a configuration of authorities with a rotation, and of clients with files in a directory.
func filed(rotation, dir string, names ...string) string {
	config := rotating(rotation)
	for _, name := range names {
		config += fmt.Sprintf(`
			resource "etcd_certificate" %[1]q {
				pki                 = etcd_pki.prod.client_authority
				common_name         = %[1]q
				private_key_file    = "%[2]s/%[1]s.key"
				certificate_file    = "%[2]s/%[1]s.crt"
				ca_certificate_file = "%[2]s/ca.crt"
			}`, name, dir)
	}
	return config
}

// copied keeps the certificates of a directory, like a machine that knows nothing of later ones.
func copied(t *testing.T, dir string, into map[string]string) tftest.TestCheckFunc {
	return func(*terraform.State) error {
		files, err := filepath.Glob(filepath.Join(dir, "*.crt"))
		for _, file := range files {
			into[file] = string(mustRead(t, file))
		}
		return err
	}
}

// putBack restores the certificates of that machine in a directory.
func putBack(t *testing.T, certificates map[string]string) func() {
	return func() {
		for file, text := range certificates {
			write(t, file, text, 0o644)
		}
	}
}

// filesOf checks that the files of a client hold what its state says.
func filesOf(t *testing.T, dir string, names ...string) tftest.TestCheckFunc {
	return func(state *terraform.State) error {
		for _, name := range names {
			attributes := state.RootModule().Resources["etcd_certificate."+name].Primary.Attributes
			for file, want := range map[string]string{name + ".crt": attributes["certificate"], "ca.crt": attributes["ca_certificate"]} {
				if got := string(mustRead(t, filepath.Join(dir, file))); got != want {
					return fmt.Errorf("%s holds\n%s\nand not\n%s", file, got, want)
				}
			}
		}
		return nil
	}
}

// TestEarlierFilesAreOverwritten holds that a machine with the certificates of any earlier phase, also of the previous
// rotation, gets the present ones, in every phase and after the last. Certificates of another authority stay in every
// phase.
func TestEarlierFilesAreOverwritten(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	ca, signed := another(t)
	var steps []tftest.TestStep
	var machines []map[string]string
	both := func(rotation string) string { return filed(rotation, dir, "app", "jobs") }
	apply := func(rotation string, before func()) {
		steps = append(steps, tftest.TestStep{PreConfig: before, Config: both(rotation), Check: filesOf(t, dir, "app", "jobs")},
			tftest.TestStep{Config: both(rotation), PlanOnly: true})
	}
	next := func(rotation string) {
		apply(rotation, nil)
		for _, machine := range machines {
			apply(rotation, putBack(t, machine))
		}
		machine := map[string]string{}
		last := &steps[len(steps)-2]
		last.Check = tftest.ComposeAggregateTestCheckFunc(last.Check, copied(t, dir, machine))
		machines = append(machines, machine)
		for file, text := range map[string]string{"ca.crt": ca, "app.crt": signed} {
			file := filepath.Join(dir, file)
			steps = append(steps, tftest.TestStep{PreConfig: func() { write(t, file, text, 0o644) }, Config: both(rotation), ExpectError: saysInOrder(file+" is not overwritten", "another authority")},
				tftest.TestStep{PreConfig: func() {
					if got := string(mustRead(t, file)); got != text {
						t.Errorf("%s was overwritten:\n%s", file, got)
					}
					mustRemove(t, file)
				}, Config: both(rotation)})
		}
	}
	for _, rotation := range phases {
		next(rotation)
	}
	// The rotation moves from machine to machine: each apply runs on a machine that has missed the apply before.
	for _, phase := range []string{"", `, phase = "sign"`, `, phase = "retire"`} {
		apply(`peers = "3", clients = "3"`+phase, func() { putBack(t, machines[len(machines)-1])() })
	}
	for _, machine := range machines {
		apply(`peers = "3", clients = "3", phase = "retire"`, putBack(t, machine))
	}
	w.run(t, steps...)
}

// TestBundleOfARotationIsOverwritten holds that a resource which is new, or has just been given the file, recognises a
// bundle of its authority and the one before or after it, and no bundle with anything else.
func TestBundleOfARotationIsOverwritten(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	foreign := string(madeAuthorities(t, "other", time.Hour).Clients.CertificatePEM())
	file := filepath.Join(dir, "ca.crt")
	var first, second string // the authorities
	bundles := make([]string, len(phases))
	var steps []tftest.TestStep
	for i, rotation := range phases {
		steps = append(steps, tftest.TestStep{Config: rotating(rotation), Check: func(state *terraform.State) error {
			bundles[i] = state.RootModule().Resources[ownPKI].Primary.Attributes["client_ca_certificate"]
			return nil
		}})
	}
	retired := phases[len(phases)-1]
	late := filed(retired, dir, "late")
	for _, accepted := range []func() string{
		func() string { return bundles[1] },
		func() string { return bundles[2] },
		func() string { return strings.ReplaceAll(bundles[2], "\n", "\r\n") },
		func() string { return second },
	} {
		steps = append(steps,
			tftest.TestStep{PreConfig: func() {
				first, second = bundles[0], bundles[3]
				write(t, file, accepted(), 0o644)
			}, Config: late, Check: filesOf(t, dir, "late")},
			tftest.TestStep{Config: rotating(retired)})
	}
	for _, refused := range []func() string{
		func() string { return first },
		func() string { return second + foreign },
		func() string { return bundles[2] + foreign },
	} {
		steps = append(steps, tftest.TestStep{PreConfig: func() { write(t, file, refused(), 0o644) }, Config: late, ExpectError: saysInOrder("ca.crt is not overwritten", "another authority")})
	}
	w.run(t, append(steps, tftest.TestStep{PreConfig: func() { mustRemove(t, file) }, Config: late})...)
}

// TestFileThatIsNamedLater has somebody write the certificate of a cluster's authority to a file before a rotation. A
// resource that has seen the rotation overwrites the file if its configuration names the file later.
func TestFileThatIsNamedLater(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	file := filepath.Join(dir, "ca.crt")
	var steps []tftest.TestStep
	for i, rotation := range phases {
		step := tftest.TestStep{Config: strings.ReplaceAll(filed(rotation, dir, "app"), "ca_certificate_file", "# ca_certificate_file")}
		if i == 0 {
			step.Check = func(state *terraform.State) error {
				write(t, file, state.RootModule().Resources[ownPKI].Primary.Attributes["client_ca_certificate"], 0o644)
				return nil
			}
		}
		steps = append(steps, step)
	}
	w.run(t, append(steps, tftest.TestStep{Config: filed(phases[len(phases)-1], dir, "app"), Check: filesOf(t, dir, "app")})...)
}
