package resources_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// rotated is a cluster whose authorities are rotated, with two clients that keep their files in a directory.
type rotated struct {
	*world
	dir string
}

// config returns its configuration with this rotation.
func (r rotated) config(rotation string) string {
	client := func(name string) string {
		return fmt.Sprintf(`
			resource "etcd_certificate" %q {
				pki                 = etcd_pki.prod.client_authority
				common_name         = %[1]q
				private_key_file    = "%[2]s/%[1]s.key"
				certificate_file    = "%[2]s/%[1]s.crt"
				ca_certificate_file = "%[2]s/ca.crt"
			}`, name, r.dir)
	}
	return strings.Replace(three(unprotected), `{ name = "prod" }`, "{\n name = \"prod\"\n"+rotation+"\n}", 1) + client("app") + client("jobs")
}

// follow checks which authorities have signed the certificates of all members and clients, and which ones all of them
// trust, the signing one first. Each authority is the number in its name; empty for the first one.
func (r rotated) follow(signs string, trusted ...string) tftest.TestCheckFunc {
	return func(state *terraform.State) error {
		leaves := map[string]string{}
		for last := 11; last <= 13; last++ {
			for key, text := range r.host(last).Certificates("prod") {
				leaves[fmt.Sprintf("%s of 192.0.2.%d", key, last)] = text
			}
		}
		for _, name := range []string{"app", "jobs"} {
			text, err := os.ReadFile(filepath.Join(r.dir, name+".crt"))
			if err != nil {
				return err
			}
			leaves[name] = string(text)
		}
		ca, err := os.ReadFile(filepath.Join(r.dir, "ca.crt"))
		if err != nil {
			return err
		}
		for name, text := range leaves {
			leaf, err := cert.ParseLeaf([]byte(text))
			want := pki.ClientsName("prod") + signs
			if strings.HasPrefix(name, api.KeyPeer) {
				want = pki.PeersName("prod") + signs
			}
			if err != nil || leaf.Issuer.CommonName != want {
				return fmt.Errorf("the certificate %s is of %q, want %q (%v)", name, leaf.Issuer.CommonName, want, err)
			}
		}
		resources := state.RootModule().Resources
		for _, bundle := range []struct{ of, text, kind string }{
			{"the members", resources[cluster].Primary.Attributes["client_ca_certificate"], pki.ClientsName("prod")},
			{"the members", resources[cluster].Primary.Attributes["peer_ca_certificate"], pki.PeersName("prod")},
			{"app", resources["etcd_certificate.app"].Primary.Attributes["ca_certificate"], pki.ClientsName("prod")},
			{"ca.crt", string(ca), pki.ClientsName("prod")},
		} {
			all, err := cert.Parse([]byte(bundle.text))
			if err != nil {
				return fmt.Errorf("%s: %w", bundle.of, err)
			}
			var names []string
			for _, authority := range all {
				names = append(names, strings.TrimPrefix(authority.Subject.CommonName, bundle.kind))
			}
			if !slices.Equal(names, trusted) {
				return fmt.Errorf("%s trust %q, want %q", bundle.of, names, trusted)
			}
		}
		return nil
	}
}

// TestRotationIsFollowed holds that members and clients follow etcd_pki in the same apply, through every phase and
// back, and that the plan shows as many of the members' steps as it can know.
func TestRotationIsFollowed(t *testing.T) {
	r := rotated{newWorld(t), t.TempDir()}
	to := func(rotation, signs string, trusted ...string) tftest.TestStep {
		return tftest.TestStep{Config: r.config(rotation), Check: r.follow(signs, trusted...),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}}
	}
	shown := func(step tftest.TestStep, steps ...string) tftest.TestStep {
		shows := r.asPlanned(t, step.Config, steps)
		step.PreConfig, step.ConfigPlanChecks.PreApply = shows.PreConfig, shows.ConfigPlanChecks.PreApply
		step.Check = tftest.ComposeAggregateTestCheckFunc(step.Check, shows.Check)
		return step
	}
	// The addresses of the cluster and its members do not change, so whatever uses them is not planned anew.
	notKnown := []string{"alarms", "client_ca_certificate"}
	for _, name := range []string{"a", "b", "c"} {
		for _, of := range []string{"certificate_expires_at", "drift", "etcd_version", "health"} {
			notKnown = append(notKnown, "members."+name+"."+of)
		}
	}
	notKnown = append(notKnown, "peer_ca_certificate", "planned_change", "rollout", "status")
	certificateStays := tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{unknownOf{"etcd_certificate.app", []string{"ca_certificate"}}, unknownOf{cluster, notKnown}}}
	trust := to(`rotation = { peers = "2", clients = "2" }`, "", "", " 2")
	trust.ConfigPlanChecks.PreApply = certificateStays.PreApply
	r.run(t,
		r.begun(t, r.config("")),
		tftest.TestStep{Config: r.config(""), Check: r.follow("", "")},
		trust,
		shown(to("", "", ""), "no longer trusts authority "), // cancelled
		to(`rotation = { peers = "2", clients = "2" }`, "", "", " 2"),
		shown(to(`rotation = { peers = "2", clients = "2", phase = "sign" }`, " 2", " 2", ""), "renew certificates of a (192.0.2.11): they are of authority "),
		shown(to(`rotation = { peers = "2", clients = "2", phase = "trust" }`, "", "", " 2"), "renew certificates of b (192.0.2.12): they are of authority "),
		to(`rotation = { peers = "2", clients = "2", phase = "sign" }`, " 2", " 2", ""),
		shown(to(`rotation = { peers = "2", clients = "2", phase = "retire" }`, " 2", " 2"), "roll b (192.0.2.12): no longer trusts authority "),
	)
}

// TestRotationIsCutShort cuts an apply short in each phase: before the cluster follows, and in the middle. The next
// apply continues. A plan that asks for more before that is refused and changes nothing: members would need what
// etcd_pki no longer has.
func TestRotationIsCutShort(t *testing.T) {
	const rotation = `rotation = { peers = "2", clients = "2", phase = %q }`
	phases := []string{"trust", "sign", "retire"}
	ends := map[string]struct {
		signs   string
		trusted []string
	}{"trust": {"", []string{"", " 2"}}, "sign": {" 2", []string{" 2", ""}}, "retire": {" 2", []string{" 2"}}}
	refusals := map[string][]string{
		"sign":   {"The members have not followed this rotation yet", "192.0.2.1", "for peers it trusts authority", "which is to sign", `Set phase = "trust" in rotation of etcd_pki "prod" again`},
		"retire": {"The members have not followed this rotation yet", "192.0.2.1", "its certificates for peers are of authority", "which is to be given up", `Set phase = "sign" in rotation of etcd_pki "prod" again`},
	}
	faults := map[string]nodetest.Fault{
		"before the cluster":      {Operation: api.OpLock},
		"in the middle of it":     {Address: "192.0.2.12", Operation: api.OpConfigure},
		"an answer lost in there": {Address: "192.0.2.12", Operation: api.OpConfigure, After: true},
	}
	for _, cut := range sample.EveryNth(t, 3, slices.Sorted(maps.Keys(faults))) {
		t.Run(cut, func(t *testing.T) {
			r := rotated{newWorld(t), t.TempDir()}
			steps := []tftest.TestStep{r.begun(t, r.config(""))}
			for i, phase := range phases {
				config, end := r.config(fmt.Sprintf(rotation, phase)), ends[phase]
				steps = append(steps, tftest.TestStep{PreConfig: func() { r.Heal(); r.Inject(faults[cut]) }, Config: config, ExpectError: says("the connection was lost")})
				// New certificates count as soon as they are written, and the other members get theirs all the same.
				followed := faults[cut].After && phase == "sign"
				if i+1 < len(phases) && !followed {
					steps = append(steps, tftest.TestStep{PreConfig: func() { r.Heal(); r.changes() }, Config: r.config(fmt.Sprintf(rotation, phases[i+1])),
						ExpectError: saysInOrder(refusals[phases[i+1]]...)},
						tftest.TestStep{Config: config, PlanOnly: true, ExpectNonEmptyPlan: true, Check: r.untouched})
				}
				steps = append(steps, tftest.TestStep{PreConfig: r.Heal, Config: config, Check: r.follow(end.signs, end.trusted...)}, tftest.TestStep{Config: config, PlanOnly: true})
			}
			r.run(t, steps...)
		})
	}
}

// TestTwoClustersFollow holds that of two clusters with one etcd_pki, the cluster that has not followed keeps the
// rotation from continuing, and that the refusal says so, even if the other cluster is up to date.
func TestTwoClustersFollow(t *testing.T) {
	r := rotated{newWorld(t), t.TempDir()}
	config := func(rotation string) string {
		return r.config(rotation) + `
			resource "etcd_cluster" "other" {
				name                = "other"
				pki                 = etcd_pki.prod.authority
				deletion_protection = false
				members = {
					d = { address = "192.0.2.21" }
					e = { address = "192.0.2.22" }
					f = { address = "192.0.2.23" }
				}
			}`
	}
	trust, sign := config(`rotation = { peers = "2", clients = "2" }`), config(`rotation = { peers = "2", clients = "2", phase = "sign" }`)
	r.run(t,
		r.begun(t, config("")),
		tftest.TestStep{PreConfig: func() { r.Inject(nodetest.Fault{Address: "192.0.2.22", Operation: api.OpConfigure}) }, Config: trust, ExpectError: says("the connection was lost")},
		tftest.TestStep{PreConfig: func() { r.Heal(); r.refused() }, Config: sign, ExpectError: saysInOrder("members of cluster other are not ready for", "e (192.0.2.22): for peers it trusts authority")},
		tftest.TestStep{PreConfig: func() {
			if refused := r.refused(); strings.Contains(refused, "members of cluster prod") {
				t.Errorf("the cluster that has followed is refused too: %s", refused)
			}
		}, Config: trust, Check: r.follow("", "", " 2")},
		tftest.TestStep{Config: sign, Check: r.follow(" 2", " 2", "")},
	)
}

// TestKeysFollowTheAlgorithm holds that a rotation to another algorithm gives members keys of that algorithm with their
// new certificates, in its second phase and not before. Clients keep their keys.
func TestKeysFollowTheAlgorithm(t *testing.T) {
	r := rotated{newWorld(t), t.TempDir()}
	curve := func(members elliptic.Curve) tftest.TestCheckFunc {
		return func(*terraform.State) error {
			leaves := map[string]string{}
			for last := 11; last <= 13; last++ {
				for key, text := range r.host(last).Certificates("prod") {
					leaves[fmt.Sprintf("%s of 192.0.2.%d", key, last)] = text
				}
			}
			for name, text := range leaves {
				leaf, err := cert.ParseLeaf([]byte(text))
				if err != nil {
					return err
				}
				if key, is := leaf.PublicKey.(*ecdsa.PublicKey); !is || key.Curve != members {
					return fmt.Errorf("the key of %s is not on %s", name, members.Params().Name)
				}
			}
			return nil
		}
	}
	const begun = "algorithm = \"ecdsa-p384\"\nrotation = { peers = \"2\", clients = \"2\" %s }"
	r.run(t,
		tftest.TestStep{Config: r.config(""), Check: curve(elliptic.P256())},
		tftest.TestStep{Config: r.config(fmt.Sprintf(begun, "")), Check: tftest.ComposeAggregateTestCheckFunc(r.allWell, curve(elliptic.P256()))},
		tftest.TestStep{Config: r.config(fmt.Sprintf(begun, `, phase = "sign"`)), Check: tftest.ComposeAggregateTestCheckFunc(r.allWell, curve(elliptic.P384()))},
		tftest.TestStep{Config: r.config(fmt.Sprintf(begun, `, phase = "retire"`)), Check: tftest.ComposeAggregateTestCheckFunc(r.allWell, curve(elliptic.P384()))},
	)
}
