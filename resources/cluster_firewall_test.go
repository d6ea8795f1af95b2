package resources_test

import (
	"fmt"
	"slices"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// TestFirewall gives a cluster a firewall, has it flushed, gives the cluster another one, and takes that away. Each
// plan says what hosts are to let in, and no member is restarted by any of it.
func TestFirewall(t *testing.T) {
	w := newWorld(t)
	config := func(networks string) string {
		return three(unprotected + "firewall = { client_cidrs = [" + networks + "] }")
	}
	lets := func(networks ...string) tftest.TestCheckFunc {
		return func(*terraform.State) error {
			for last := 11; last <= 13; last++ {
				has := w.host(last).Filters("prod")
				if has == nil || !slices.Equal(has.Clients, networks) || !slices.Equal(has.Peers, []string{"192.0.2.11", "192.0.2.12", "192.0.2.13"}) {
					return fmt.Errorf("host %d filters by %+v", last, has)
				}
			}
			return nil
		}
	}
	changes := func(what plan.Purpose, config string, check tftest.TestCheckFunc, says ...string) tftest.TestStep {
		step := w.asPlanned(t, config, says, purpose(what))
		step.Check = tftest.ComposeAggregateTestCheckFunc(step.Check, check, w.restarts(false))
		return step
	}
	const peers = "peers 192.0.2.11, 192.0.2.12, 192.0.2.13, on "
	flushed := changes(plan.PurposeRepair, config(`"10.0.1.0/24"`), lets("10.0.1.0/24"), "firewall: clients 10.0.1.0/24, "+peers+"b; nothing else is filtered")
	flushed.PreConfig = func() { w.host(12).FlushFirewall(); w.Forget() }
	flushed.ConfigPlanChecks.PreApply = append(flushed.ConfigPlanChecks.PreApply, changed(drift{
		health: "healthy", drift: "its table etcd-prod is gone", status: "healthy"}.shows))
	w.run(t,
		w.begun(t, three(unprotected)),
		changes(plan.PurposeChange, config(`"10.0.1.0/24"`), lets("10.0.1.0/24"), "firewall: clients 10.0.1.0/24, "+peers+"a, b, c; nothing else is filtered"),
		flushed,
		changes(plan.PurposeChange, config(`"2001:db8:1::/64", "10.0.2.0/24", "10.0.1.0/24"`), lets("10.0.1.0/24", "10.0.2.0/24", "2001:db8:1::/64"), "firewall: clients 10.0.1.0/24 10.0.2.0/24 2001:db8:1::/64, "+peers),
		// The same networks in another order are no change.
		tftest.TestStep{Config: config(`"10.0.1.0/24", "10.0.2.0/24", "2001:db8:1::/64"`), PlanOnly: true},
		changes(plan.PurposeChange, config(""), lets(), "firewall: clients nobody, "+peers),
		tftest.TestStep{Config: config(`"10.0.1.7/24"`), ExpectError: says(`its address has bits beyond the prefix, which 10.0.1.0/24 has not`)},
		tftest.TestStep{Config: config(`"10.0.1.7"`), ExpectError: says(`"10.0.1.7": this is no network`)},
		changes(plan.PurposeChange, three(unprotected), func(*terraform.State) error {
			for last := 11; last <= 13; last++ {
				if has := w.host(last).Filters("prod"); has != nil {
					return fmt.Errorf("host %d filters by %+v", last, has)
				}
			}
			return nil
		}, "firewall: removed on a, b, c; anybody reaches the members"),
	)
}
