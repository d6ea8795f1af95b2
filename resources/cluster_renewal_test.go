package resources_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// hostsKey is the key that identifies hosts to servers.
const hostsKey = "ffeeddccbbaa99887766554433221100"

// onHosts are authorities whose servers hosts may ask too.
func (s *signers) onHosts(says string) string {
	return strings.ReplaceAll(s.both(), ", ca_certificate =", fmt.Sprintf(", on_hosts = { %s }, ca_certificate =", says))
}

// renews checks with which key hosts ask servers; empty: they ask none.
func (w *world) renews(key string, hosts ...int) tftest.TestCheckFunc {
	return func(*terraform.State) error {
		for _, last := range hosts {
			r := w.host(last).Renews("prod")
			if (r != nil) != (key != "") || r != nil && (r.Peers.Key.Reveal() != key || r.Clients.Key.Reveal() != key) {
				return fmt.Errorf("host %d renews by %+v", last, r)
			}
		}
		return nil
	}
}

// TestRenewalOnHosts holds that hosts renew certificates by themselves if the configuration says so: every host by the
// settings of the last apply, and no host any more once the configuration does not say so, or another server signs.
func TestRenewalOnHosts(t *testing.T) {
	w, s := newWorld(t), newSigners(t)
	own := fmt.Sprintf("auth_key = %q", hostsKey)
	steps := func(step tftest.TestStep, happen func(), check tftest.TestCheckFunc) tftest.TestStep {
		step.PreConfig = func() {
			w.Forget()
			if happen != nil {
				happen()
			}
		}
		step.Check = tftest.ComposeAggregateTestCheckFunc(step.Check, check)
		return step
	}
	five := func(pki string) string {
		return strings.Replace(of("a b c d e", unprotected), "etcd_pki.prod.authority", pki, 1)
	}
	first := w.begun(t, takenFrom(s.onHosts(own), unprotected))
	begun := first.Check
	first.Check = tftest.ComposeAggregateTestCheckFunc(begun, w.renews(hostsKey, 11, 12, 13))
	first.ConfigPlanChecks = tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(after, _ map[string]any) error {
		shown := texts(after["rollout"])
		last := shown[len(shown)-1]
		if !strings.HasPrefix(last, "renew on hosts: peers' by https://127.0.0.1:") || !strings.Contains(last, ", servers' and the administrator's by https://127.0.0.1:") || !strings.HasSuffix(last, ", on a, b, c") {
			return fmt.Errorf("the last step is %q", last)
		}
		return nil
	})}, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	keyless := fmt.Sprintf("{ peer = { certificate = %q }, client = { certificate = %q } }", s.Peers.CertificatePEM(), s.Clients.CertificatePEM())
	// half leaves out the signer for clients.
	half := func(both string) string {
		peer, _, _ := strings.Cut(both, ", client = ")
		return fmt.Sprintf("%s, client = { certificate = %q } }", peer, s.Clients.CertificatePEM())
	}
	done := w.host(12)
	w.run(t, first,
		tftest.TestStep{Config: takenFrom(keyless, unprotected), PlanOnly: true},
		steps(w.asPlanned(t, takenFrom(s.onHosts(own), unprotected), []string{"renew on hosts: ", ", on b"}, purpose(plan.PurposeRepair)),
			func() { done.StopRenewals("prod") }, w.renews(hostsKey, 12)),
		steps(w.asPlanned(t, takenFrom(s.onHosts(own), unprotected), []string{"renew on hosts: ", ", on b"}, purpose(plan.PurposeRepair)),
			func() { done.RenewsByOldUnits("prod") }, w.renews(hostsKey, 12)),
		steps(w.asPlanned(t, takenFrom(s.onHosts(own), unprotected), []string{"renew on hosts: ", ", on b"}, purpose(plan.PurposeRepair)),
			func() { done.HasUnreadUnits("prod") }, w.renews(hostsKey, 12)),
		tftest.TestStep{Config: takenFrom(s.onHosts(own), unprotected+"certificates = { validity = \"4h\" }\n"), ExpectError: saysInOrder("Hosts could not renew certificates in time", "valid for 4h0m0s", "needs 3h0m0s")},
		steps(w.asPlanned(t, takenFrom(half(s.onHosts(own+", label = \"hosts\"")), unprotected), []string{"renew on hosts: peers' by https://127.0.0.1:", ` (label "hosts"), the others' as before`, ", on a, b, c"}, purpose(plan.PurposeChange)),
			nil, w.renews(hostsKey, 11, 12, 13)),
		steps(w.asPlanned(t, five(s.onHosts(own+", url = \"https://signer.example.com\"")), []string{"https://signer.example.com", ", on a, b, c, d, e"}),
			nil, w.renews(hostsKey, 11, 12, 13, 14, 15)),
		tftest.TestStep{Config: five(s.onHosts(own + ", url = \"https://signer.example.com\"")), PlanOnly: true, PreConfig: func() {
			w.warned()
			done.RanRenewal("prod", api.RenewalRun{Ended: w.Clock, Error: "certificate peer was not renewed: closed"})
		}},
		steps(w.asPlanned(t, five(s.both()), []string{"renew on hosts: disabled on a, b, c, d, e; certificates are renewed by applies alone"}, purpose(plan.PurposeChange)),
			func() {
				said := w.warned()
				for _, text := range []string{"Hosts of cluster prod could not renew certificates", "b (192.0.2.12), at ", "certificate peer was not renewed: closed"} {
					if !strings.Contains(said, text) {
						t.Errorf("no warning says %q:\n%s", text, said)
					}
				}
			}, w.renews("", 11, 12, 13, 14, 15)),
		steps(w.asPlanned(t, five(s.onHosts(own)), []string{", on a, b, c, d, e"}), nil, w.renews(hostsKey, 11, 15)),
		steps(w.asPlanned(t, five(s.given(t)), []string{"renew on hosts: disabled on a, b, c, d, e"}), nil, w.renews("", 11, 12, 13, 14, 15)),
		tftest.TestStep{ // A change of renewals is no repair of which a part would be worth having.
			PreConfig: func() {
				w.host(14).Skew = 6 * time.Minute
				done.LoseKey("prod", api.KeyPeer)
				w.host(13).StopUnit("prod")
				w.Forget()
			},
			Config: five(s.onHosts(own)), ExpectError: saysInOrder("d (192.0.2.14): its clock is at least 6m ahead"),
		},
	)
	for _, kept := range w.privately() {
		if text := unpacked(t, kept); strings.Contains(text, hostsKey) {
			t.Error("private state has the key of hosts")
		}
	}
}

// TestChangesBesideDamagedRenewals: a host whose settings of renewals are damaged keeps no other change waiting while
// the signer of one authority is left out: the plan warns of it, and says two ways on. A change that comes with other
// such settings is refused. Each of the ways leads on.
func TestChangesBesideDamagedRenewals(t *testing.T) {
	w, s := newWorld(t), newSigners(t)
	own := fmt.Sprintf("auth_key = %q", hostsKey)
	half := func(says, settings string) string {
		peer, _, _ := strings.Cut(s.onHosts(says), ", client = ")
		return takenFrom(fmt.Sprintf("%s, client = { certificate = %q } }", peer, s.Clients.CertificatePEM()), unprotected+settings)
	}
	const settings = "settings = { snapshot_count = 6000 }\n"
	rolled := w.asPlanned(t, half(own, settings), []string{"roll a (192.0.2.11): flags --snapshot-count"}, purpose(plan.PurposeChange), meanwhile(func() {
		text := w.warned()
		for _, says := range []string{"How a host renews certificates is not known", "b (192.0.2.12): ", "apply once with the signers of both authorities", "systemctl disable --now etcd-renew@prod.timer", "remove /etc/etcd/prod/renewal.json"} {
			if !strings.Contains(text, says) {
				t.Errorf("the plan does not say %q:\n%s", says, text)
			}
		}
	}))
	damage := func() { w.host(12).DamageRenewals("prod"); w.Forget(); w.warned() }
	rolled.PreConfig = damage
	w.run(t, w.begun(t, takenFrom(s.onHosts(own), unprotected)),
		rolled,
		tftest.TestStep{Config: half(own+", label = \"hosts\"", strings.Replace(settings, "6", "7", 1)), ExpectError: saysInOrder("How a host renews certificates is not known", "b (192.0.2.12): ")},
		w.asPlanned(t, takenFrom(s.onHosts(own), unprotected+settings), []string{"renew on hosts: ", ", on b"}, purpose(plan.PurposeRepair)),
		func() tftest.TestStep {
			step := w.asPlanned(t, half(own, settings), []string{"renew on hosts: ", ", on b"}, purpose(plan.PurposeRepair))
			step.PreConfig = func() { damage(); w.host(12).RemoveRenewals("prod") }
			return step
		}(),
	)
}

// TestClusterIsCreatedThoughHostsCannotRenew: a create ends with a cluster in the state where a host cannot have
// certificates signed. The next apply tells that host once more.
func TestClusterIsCreatedThoughHostsCannotRenew(t *testing.T) {
	w, s := newWorld(t), newSigners(t)
	b := w.host(12)
	b.SignerFails = "invalid token"
	config := takenFrom(s.onHosts(fmt.Sprintf("auth_key = %q", hostsKey)), unprotected)
	first := w.begun(t, config)
	first.ExpectNonEmptyPlan = true
	again := w.asPlanned(t, config, []string{"renew on hosts: ", ", on b"}, purpose(plan.PurposeRepair))
	again.PreConfig = func() {
		w.Forget()
		b.SignerFails = ""
	}
	again.Check = tftest.ComposeAggregateTestCheckFunc(again.Check, w.renews(hostsKey, 11, 12, 13))
	w.run(t, first, again)
}
