package resources_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// issuedBy checks which cluster's authorities have signed the certificates of all members, and which ones the output
// names as trusted.
func (w *world) issuedBy(by string, trusted ...string) tftest.TestCheckFunc {
	return func(state *terraform.State) error {
		for last := 11; last <= 13; last++ {
			for key, text := range w.host(last).Certificates("prod") {
				leaf, err := cert.ParseLeaf([]byte(text))
				if err != nil {
					return err
				}
				want := "etcd " + by + " clients"
				if key == api.KeyPeer {
					want = "etcd " + by + " peers"
				}
				if leaf.Issuer.CommonName != want {
					return fmt.Errorf("the %s certificate of 192.0.2.%d is of %q, want %q", key, last, leaf.Issuer.CommonName, want)
				}
			}
		}
		for attribute, kind := range map[string]string{"peer_ca_certificate": "peers", "client_ca_certificate": "clients"} {
			bundle, err := cert.Parse([]byte(state.RootModule().Resources["etcd_cluster.prod"].Primary.Attributes[attribute]))
			if err != nil {
				return fmt.Errorf("%s: %w", attribute, err)
			}
			var names []string
			for _, authority := range bundle {
				names = append(names, strings.TrimSuffix(strings.TrimPrefix(authority.Subject.CommonName, "etcd "), " "+kind))
			}
			if !slices.Equal(names, trusted) {
				return fmt.Errorf("%s has %q, want %q", attribute, names, trusted)
			}
		}
		return nil
	}
}

// TestAuthoritiesAreExchanged exchanges the authorities of a running cluster for any others: with the old ones trusted
// until the configuration drops them, or in one apply.
func TestAuthoritiesAreExchanged(t *testing.T) {
	w := newWorld(t)
	config := func(pki string) string {
		return strings.Replace(three(line), "etcd_pki.prod.authority", pki, 1) + otherPKI
	}
	both := "{ peer = etcd_pki.other.authority.peer, client = etcd_pki.other.authority.client, trusted = { peer = etcd_pki.prod.authority.peer, client = etcd_pki.prod.authority.client } }"
	changes := func(pki, by string, says []string, trusted ...string) tftest.TestStep {
		step := w.asPlanned(t, config(pki), says, purpose(plan.PurposeChange))
		step.Check = tftest.ComposeAggregateTestCheckFunc(step.Check, w.issuedBy(by, trusted...))
		return step
	}
	w.run(t,
		w.begun(t, config("etcd_pki.prod.authority")),
		tftest.TestStep{Config: config("etcd_pki.prod.authority"), Check: w.issuedBy("prod", "prod")},
		changes(both, "other", []string{"roll b (192.0.2.12): comes to trust authority ", "renew certificates of a (192.0.2.11): they are of authority "}, "other", "prod"),
		changes("etcd_pki.other.authority", "other", []string{"roll b (192.0.2.12): no longer trusts authority "}, "other"),
		changes("etcd_pki.prod.authority", "prod", []string{"roll b (192.0.2.12): comes to trust authority ", "renew certificates of c (192.0.2.13): they are of authority ", "roll a (192.0.2.11): no longer trusts authority "}, "prod"),
		tftest.TestStep{
			PreConfig:   func() { unreachableHosts(13)(w) },
			Config:      config("etcd_pki.other.authority"),
			ExpectError: says("it cannot be restarted (comes to trust authority "),
		},
		tftest.TestStep{
			PreConfig: func() { w.host(13).Unreachable = nil },
			Config:    config("etcd_pki.prod.authority"),
			Check:     w.issuedBy("prod", "prod"),
		},
	)
}

// TestOldAuthoritiesStayTrusted has a member that cannot be asked: a plan that would remove old authorities is refused,
// for the cluster and for etcd_pki in the same apply. A plan that finds old authorities left over shows them until they
// are removed.
func TestOldAuthoritiesStayTrusted(t *testing.T) {
	t.Run("as pki.trusted is taken out", func(t *testing.T) {
		w := newWorld(t)
		config := func(pki string) string {
			return strings.Replace(three(line), "etcd_pki.prod.authority", pki, 1) + otherPKI
		}
		both := config("{ peer = etcd_pki.other.authority.peer, client = etcd_pki.other.authority.client, trusted = { peer = etcd_pki.prod.authority.peer, client = etcd_pki.prod.authority.client } }")
		alone := config("etcd_pki.other.authority")
		w.run(t,
			w.begun(t, config("etcd_pki.prod.authority")),
			tftest.TestStep{Config: both, Check: w.issuedBy("other", "other", "prod")},
			tftest.TestStep{PreConfig: func() { unreachableHosts(13)(w) }, Config: alone, ExpectError: says("members go on trusting authority ")},
			tftest.TestStep{PreConfig: func() { w.host(13).Unreachable = nil }, Config: alone, Check: w.issuedBy("other", "other")},
		)
	})
	t.Run("as a rotation retires them", func(t *testing.T) {
		r := rotated{newWorld(t), t.TempDir()}
		const rotation = `rotation = { peers = "2", clients = "2", phase = %q }`
		trust, sign, retire := r.config(fmt.Sprintf(rotation, "trust")), r.config(fmt.Sprintf(rotation, "sign")), r.config(fmt.Sprintf(rotation, "retire"))
		r.run(t,
			r.begun(t, r.config("")),
			tftest.TestStep{Config: trust},
			tftest.TestStep{Config: sign, Check: r.follow(" 2", " 2", "")},
			tftest.TestStep{PreConfig: func() { unreachableHosts(13)(r.world) }, Config: retire,
				ExpectError: saysInOrder("The members have not followed this rotation yet", "c (192.0.2.13): nobody knows which authorities it trusts: ", "Bring back the hosts", `Until then, set phase = "sign"`)},
			// etcd_pki has kept the authorities.
			tftest.TestStep{PreConfig: func() { r.host(13).Unreachable = nil }, Config: sign, Check: r.follow(" 2", " 2", "")},
			tftest.TestStep{Config: retire, Check: r.follow(" 2", " 2")},
		)
	})
	t.Run("as a rotation retires them, and the member is replaced", func(t *testing.T) {
		r := rotated{newWorld(t), t.TempDir()}
		const rotation = `rotation = { peers = "2", clients = "2", phase = %q }`
		sign, retire := r.config(fmt.Sprintf(rotation, "sign")), r.config(fmt.Sprintf(rotation, "retire"))
		moved := strings.Replace(retire, "192.0.2.13", "192.0.2.21", 1)
		open := strings.Replace(retire, `"192.0.2.13"`, "terraform_data.host.output", 1) + "\nresource \"terraform_data\" \"host\" { input = \"192.0.2.21\" }\n"
		r.run(t,
			r.begun(t, r.config("")),
			tftest.TestStep{Config: r.config(fmt.Sprintf(rotation, "trust"))},
			tftest.TestStep{Config: sign, Check: r.follow(" 2", " 2", "")},
			tftest.TestStep{PreConfig: func() { unreachableHosts(13)(r.world) }, Config: open, ExpectError: saysInOrder("The members have not followed this rotation yet",
				"c (192.0.2.13): nobody knows which authorities it trusts: ", "the address that it is given is known after apply", "(terraform apply -target=...)", `Until then, set phase = "sign"`)},
			tftest.TestStep{Config: moved, Check: values("members.c.health", "healthy")},
			tftest.TestStep{Config: moved, PlanOnly: true},
		)
	})
	t.Run("left over", func(t *testing.T) {
		w := newWorld(t)
		old, err := signing.NewAuthority(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		leftOver := func(o *api.Observation) {
			if o.Marker == nil {
				return
			}
			for name, bundle := range map[string]string{"peer-ca": old.PeerCA(), "client-ca": old.ClientCA()} {
				held := o.Certificates[name]
				held.PEM += bundle
				o.Certificates[name] = held
			}
			if o.Unit.Process != nil {
				o.Unit.Process.PeerCA, o.Unit.Process.ClientCA = "", ""
			}
		}
		w.run(t,
			w.begun(t, three(line)),
			tftest.TestStep{
				PreConfig: func() { unreachableHosts(13)(w); w.observed = leftOver },
				Config:    three(line), ExpectNonEmptyPlan: true,
				ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purpose(plan.PurposeRepair)}, PostApplyPostRefresh: []plancheck.PlanCheck{purpose(plan.PurposeRepair)}},
				Check: tftest.ComposeAggregateTestCheckFunc(w.untouched, func(*terraform.State) error {
					if warned := w.warned(); !strings.Contains(warned, "The old authorities stay trusted: members go on trusting authority ") {
						return fmt.Errorf("no warning says that they stay trusted:\n%s", warned)
					}
					return nil
				}),
			},
			tftest.TestStep{ // other changes do not wait for that
				Config: three(line + "certificates = { renew_before = \"480h\" }\n"), ExpectNonEmptyPlan: true,
				Check: w.untouched,
			},
			tftest.TestStep{PreConfig: func() { w.host(13).Unreachable, w.observed = nil, nil }, Config: three(line)},
		)
	})
}
