package resources_test

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// revoking is a configuration of three members that revokes clients' certificates with these serial numbers.
func revoking(serials ...string) string {
	config := three(unprotected + "client_crl = etcd_pki.prod.client_crl")
	return strings.Replace(config, `{ name = "prod" }`, fmt.Sprintf("{\n name = \"prod\"\n revoked = [%s]\n}", inQuotes(serials)), 1)
}

func inQuotes(texts []string) string {
	var all []string
	for _, text := range texts {
		all = append(all, fmt.Sprintf("%q", text))
	}
	return strings.Join(all, ", ")
}

// revoked checks the number of the list on every host, and the serial numbers in it.
func (w *world) revoked(number int64, serials ...string) tftest.TestCheckFunc {
	return func(*terraform.State) error {
		for _, last := range []int{11, 12, 13} {
			list, err := cert.ParseRevocationList([]byte(w.host(last).ClientCRL("prod")))
			if err != nil {
				return fmt.Errorf("192.0.2.%d: %w", last, err)
			}
			has := map[string]bool{}
			for _, entry := range list.RevokedCertificateEntries {
				has[entry.SerialNumber.Text(16)] = true
			}
			if list.Number.Cmp(big.NewInt(number)) != 0 || len(has) != len(serials) || slices.ContainsFunc(serials, func(serial string) bool { return !has[serial] }) {
				return fmt.Errorf("192.0.2.%d has list %s of %v", last, list.Number, has)
			}
		}
		return nil
	}
}

// restarts checks whether members were restarted.
func (w *world) restarts(want bool) tftest.TestCheckFunc {
	return func(*terraform.State) error {
		restarted := slices.ContainsFunc(w.Changes(), func(call nodetest.Call) bool {
			return slices.Contains([]api.Operation{api.OpRestart, api.OpStart, api.OpStop}, call.Operation)
		})
		if restarted != want {
			return fmt.Errorf("members were restarted: %t", restarted)
		}
		return nil
	}
}

// TestClientsAreRevoked holds that every member refuses a revoked serial number after one apply, whose plan shows it,
// without a restart and without another certificate. A host that loses the list gets it back.
func TestClientsAreRevoked(t *testing.T) {
	w := newWorld(t)
	var before []map[string]string
	held := func(*terraform.State) error {
		before = nil
		for _, last := range []int{11, 12, 13} {
			before = append(before, w.host(last).Certificates("prod"))
		}
		return nil
	}
	kept := func(*terraform.State) error {
		for i, last := range []int{11, 12, 13} {
			for name, text := range w.host(last).Certificates("prod") {
				if before[i][name] != text {
					return fmt.Errorf("192.0.2.%d has another %s certificate", last, name)
				}
			}
		}
		return nil
	}
	changes := func(config string, says []string, purpose plancheck.PlanCheck, checks ...tftest.TestCheckFunc) tftest.TestStep {
		step := w.asPlanned(t, config, says, purpose)
		step.Check = tftest.ComposeAggregateTestCheckFunc(append([]tftest.TestCheckFunc{step.Check}, checks...)...)
		return step
	}
	lose := changes(revoking("3A:F1"), []string{"revoke on b (192.0.2.12): its list of revoked certificates is missing, or cannot be read, so that it lets no client in (number 2, 1)"},
		purpose(plan.PurposeRepair), w.restarts(false), kept, w.revoked(2, "3af1"))
	lose.PreConfig = func() { w.Forget(); w.host(12).LoseClientCRL("prod") }
	w.run(t,
		w.begun(t, revoking()),
		tftest.TestStep{Config: revoking(), Check: tftest.ComposeAggregateTestCheckFunc(w.revoked(1), held)},
		changes(revoking("3A:F1"), []string{
			"revoke on a (192.0.2.11): its list of revoked certificates (number 1, 0) is not the desired one (number 2, 1); read at the next handshake, without a restart",
			"revoke on c (192.0.2.13)",
		}, purpose(plan.PurposeChange), w.restarts(false), kept, w.revoked(2, "3af1")),
		// The same serial number, spelled differently.
		tftest.TestStep{Config: revoking("003af1"), ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionNoop)}}},
		tftest.TestStep{Config: revoking("no serial"), ExpectError: says("no serial number of a certificate")},
		lose,
	)
}

// TestTheFirstRevocation holds that members without a list get one with one restart each, and that removing the list
// takes another restart.
func TestTheFirstRevocation(t *testing.T) {
	w := newWorld(t)
	first := w.asPlanned(t, revoking("07"), []string{"roll a (192.0.2.11): flags --client-crl-file (not set) -> /etc/etcd/prod/tls/client.crl"}, purpose(plan.PurposeChange))
	first.Check = tftest.ComposeAggregateTestCheckFunc(first.Check, w.restarts(true), w.revoked(2, "7"))
	last := w.asPlanned(t, three(unprotected), []string{"roll c (192.0.2.13): flags --client-crl-file /etc/etcd/prod/tls/client.crl -> (not set)"}, purpose(plan.PurposeChange))
	last.Check = tftest.ComposeAggregateTestCheckFunc(last.Check, w.restarts(true))
	w.run(t,
		w.begun(t, three(unprotected)),
		first,
		tftest.TestStep{Config: three(unprotected + "client_crl = \"none\""), ExpectError: says("list of revoked certificates")},
		tftest.TestStep{Config: three(unprotected + "client_crl = etcd_pki.prod.client_ca_certificate"), ExpectError: says("list of revoked certificates")},
		tftest.TestStep{Config: three(unprotected + "extra_flags = { \"client-crl-file\" = \"/etc/crl\" }"), ExpectError: says("set client_crl")},
		last,
	)
}

// TestRevocationWhileAMemberIsDown holds that reachable members refuse the clients at once, that a warning names the
// other member, and that it gets the list once it is back. If a member goes down after the plan, nobody was warned, so
// the apply fails; and so does a first list, which takes restarts.
func TestRevocationWhileAMemberIsDown(t *testing.T) {
	const keeps = "Members keep the old list of revoked certificates: c (192.0.2.13)"
	for name, test := range map[string]struct{ down, up func(*nodetest.Host) }{
		"unreachable": {func(h *nodetest.Host) { h.Unreachable = errGone }, func(h *nodetest.Host) { h.Unreachable = nil }},
		"not mounted": {func(h *nodetest.Host) { h.Unmount("prod") }, func(h *nodetest.Host) { h.Mount("prod") }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			has := func(numbers ...int64) tftest.TestCheckFunc { // the lists of a, b and c
				return func(*terraform.State) error {
					for i, number := range numbers {
						list, err := cert.ParseRevocationList([]byte(w.host(11 + i).ClientCRL("prod")))
						if err != nil || list.Number.Cmp(big.NewInt(number)) != 0 {
							return fmt.Errorf("192.0.2.%d has another list than number %d: %v, %v", 11+i, number, list, err)
						}
					}
					return nil
				}
			}
			half := tftest.TestStep{
				PreConfig: func() { test.down(w.host(13)); w.warned(); w.Forget() },
				Config:    revoking("0b"), ExpectNonEmptyPlan: true,
				ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purpose(plan.PurposeChange), planned(func(_, _ map[string]any) error {
					if warned := w.warned(); !strings.Contains(warned, keeps) || strings.Contains(warned, "b (192.0.2.12)") {
						return fmt.Errorf("the plan warns %q", warned)
					}
					return nil
				})}},
				Check: tftest.ComposeAggregateTestCheckFunc(has(2, 2, 1), w.restarts(false)),
			}
			whole := w.asPlanned(t, revoking("0b"), nil, purpose(plan.PurposeRepair))
			whole.PreConfig = func() { test.up(w.host(13)); w.Forget() }
			whole.Check = has(2, 2, 2)
			late := tftest.TestStep{
				Config: revoking("0b", "0c"), ExpectError: says("the last of them: revoke on b"),
				ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(_, _ map[string]any) error {
					test.down(w.host(13))
					return nil
				})}},
			}
			w.run(t, w.begun(t, revoking()), half, whole, late,
				tftest.TestStep{PreConfig: func() { test.up(w.host(13)) }, Config: revoking("0b", "0c"), Check: has(3, 3, 3)})
		})
	}
	t.Run("first", func(t *testing.T) {
		w := newWorld(t)
		w.run(t, w.begun(t, three(unprotected)),
			tftest.TestStep{PreConfig: func() { w.host(13).Unreachable = errGone }, Config: revoking("0b"), ExpectError: says("all have to be")},
			tftest.TestStep{PreConfig: func() { w.host(13).Unreachable = nil }, Config: revoking("0b")})
	})
}

// TestRevocationDuringAnExchange revokes a client in the apply that begins to exchange the authorities: the list
// arrives without a restart, and does not change which authorities members trust.
func TestRevocationDuringAnExchange(t *testing.T) {
	w := newWorld(t)
	config := func(pki string, serials ...string) string {
		return strings.Replace(revoking(serials...), "etcd_pki.prod.authority", pki, 1) + otherPKI
	}
	const both = "{ peer = etcd_pki.other.authority.peer, client = etcd_pki.other.authority.client, trusted = { peer = etcd_pki.prod.authority.peer, client = etcd_pki.prod.authority.client } }"
	exchange := w.asPlanned(t, config(both, "3af1"), []string{"revoke on a (192.0.2.11): ", "roll b (192.0.2.12): comes to trust authority ", "renew certificates of c (192.0.2.13): they are of authority "}, purpose(plan.PurposeChange))
	exchange.Check = tftest.ComposeAggregateTestCheckFunc(exchange.Check, w.revoked(2, "3af1"), w.issuedBy("other", "other", "prod"))
	w.run(t, w.begun(t, config("etcd_pki.prod.authority")), exchange)
}

// TestNoListOfRevoked holds that the plan, and not the validation, refuses a text that is no list: a mocked etcd_pki
// gives any text.
func TestNoListOfRevoked(t *testing.T) {
	w := newWorld(t)
	key, _ := madeKey(t)
	given := func(text string) string { return three(unprotected + fmt.Sprintf("client_crl = %q", text)) }
	w.run(t,
		tftest.TestStep{Config: given("x"), ExpectError: says("client_crl must be PEM \"X509 CRL\"")},
		tftest.TestStep{Config: given(string(key)), ExpectError: says("it holds a private key")},
		tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{Config: given("x"), ExpectError: says("client_crl must be PEM \"X509 CRL\"")},
	)
}
