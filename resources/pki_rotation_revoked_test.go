package resources_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

// revoking is the configuration with a list of revoked certificates.
func (r rotated) revoking(rotation string, serials ...string) string {
	config := r.config(rotation + "\nrevoked = [" + inQuotes(serials) + "]")
	return strings.Replace(config, unprotected, unprotected+"client_crl = etcd_pki.prod.client_crl\n", 1)
}

// TestRevocationInTheApplyOfARotation holds that members get the list and the authorities in one apply, in each phase
// and back, whichever of them was there before.
func TestRevocationInTheApplyOfARotation(t *testing.T) {
	const rotation = `rotation = { peers = "2", clients = "2", phase = %q }`
	r := rotated{newWorld(t), t.TempDir()}
	to := func(phase string, serials []string, number int64, signs string, trusted ...string) tftest.TestStep {
		says := ""
		if phase != "" {
			says = fmt.Sprintf(rotation, phase)
		}
		return tftest.TestStep{Config: r.revoking(says, serials...), Check: tftest.ComposeAggregateTestCheckFunc(r.follow(signs, trusted...), r.revoked(number, serials...), r.allWell),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}}
	}
	shown := func(step tftest.TestStep, steps ...string) tftest.TestStep {
		shows := r.asPlanned(t, step.Config, steps)
		step.PreConfig, step.ConfigPlanChecks.PreApply = shows.PreConfig, shows.ConfigPlanChecks.PreApply
		step.Check = tftest.ComposeAggregateTestCheckFunc(step.Check, shows.Check)
		return step
	}
	r.run(t,
		r.begun(t, r.config("")),
		to("trust", []string{"7"}, 2, "", "", " 2"), // the first list, too
		to("", []string{"7", "3"}, 3, "", ""),       // cancelled
		to("trust", []string{"7"}, 4, "", "", " 2"),
		shown(to("sign", []string{"7", "8"}, 5, " 2", " 2", ""), "revoke on a (192.0.2.11): its list of revoked certificates (number 4, 1)", "renew certificates of a (192.0.2.11): they are of authority "),
		shown(to("trust", []string{"7", "8", "9"}, 6, "", "", " 2"), "revoke on b", "renew certificates of b"),
		to("sign", []string{"7", "8", "9"}, 6, " 2", " 2", ""),
		shown(to("retire", []string{"9"}, 7, " 2", " 2"), "revoke on c", "roll c (192.0.2.13): no longer trusts authority "),
	)
}

// TestRevocationAndRotationCutShort cuts an apply short when one member has the list: the next apply continues.
func TestRevocationAndRotationCutShort(t *testing.T) {
	const rotation = `rotation = { peers = "2", clients = "2", phase = %q }`
	for _, fault := range sample.EveryNth(t, 2, []nodetest.Fault{
		{Address: "192.0.2.11", Operation: api.OpConfigure, After: true},
		{Address: "192.0.2.12", Operation: api.OpConfigure},
		{Address: "192.0.2.13", Operation: api.OpConfigure},
		{Address: "192.0.2.12", Operation: api.OpConfigure, After: true},
	}) {
		t.Run(fmt.Sprintf("%s %s, after %t", fault.Address, fault.Operation, fault.After), func(t *testing.T) {
			r := rotated{newWorld(t), t.TempDir()}
			steps := []tftest.TestStep{r.begun(t, r.revoking(""))}
			for i, phase := range []struct {
				name, signs string
				trusted     []string
			}{{"trust", "", []string{"", " 2"}}, {"sign", " 2", []string{" 2", ""}}, {"retire", " 2", []string{" 2"}}} {
				serials := []string{fmt.Sprint(i + 1)}
				config := r.revoking(fmt.Sprintf(rotation, phase.name), serials...)
				steps = append(steps, tftest.TestStep{PreConfig: func() { r.Heal(); r.Inject(fault) }, Config: config, ExpectError: says("the connection was lost")},
					tftest.TestStep{PreConfig: r.Heal, Config: config, Check: tftest.ComposeAggregateTestCheckFunc(r.follow(phase.signs, phase.trusted...), r.revoked(int64(i+2), serials...), r.allWell)},
					tftest.TestStep{Config: config, PlanOnly: true})
			}
			r.run(t, steps...)
		})
	}
}

// TestRenewalInTheApplyOfARotation holds that due certificates are renewed in the apply that ends a rotation, by the
// steps that its plan shows.
func TestRenewalInTheApplyOfARotation(t *testing.T) {
	const rotation = `rotation = { peers = "2", clients = "2", phase = %q }`
	r := rotated{newWorld(t), t.TempDir()}
	config := func(phase string) string {
		says := ""
		if phase != "" {
			says = fmt.Sprintf(rotation, phase)
		}
		return strings.Replace(r.config(says), unprotected, unprotected+"certificates = { validity = \"100h\" }\n", 1)
	}
	retire := r.asPlanned(t, config("retire"), []string{"renew certificates of a (192.0.2.11): ", "roll b (192.0.2.12): no longer trusts authority "})
	due := func() { r.Clock = r.Clock.Add(80 * time.Hour) }
	retire.PreConfig = func() { due(); r.Forget() }
	retire.Check = tftest.ComposeAggregateTestCheckFunc(retire.Check, r.follow(" 2", " 2"))
	r.run(t,
		r.begun(t, config("")),
		tftest.TestStep{Config: config("trust")},
		tftest.TestStep{Config: config("sign")},
		retire,
	)
}
