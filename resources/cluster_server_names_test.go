package resources_test

import (
	"fmt"
	"slices"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// named checks which names the server certificates of all members have beside their own.
func (w *world) named(want ...string) tftest.TestCheckFunc {
	return func(*terraform.State) error {
		for last, name := range map[int]string{11: "a", 12: "b", 13: "c"} {
			own := fmt.Sprintf("192.0.2.%d", last)
			held := w.host(last).Certificates("prod")
			for _, key := range []string{api.KeyServer, api.KeyPeer} {
				leaf, err := cert.ParseLeaf([]byte(held[key]))
				if err != nil {
					return err
				}
				names := slices.Clone(leaf.DNSNames)
				for _, ip := range cert.IPs(leaf) {
					names = append(names, ip.String())
				}
				names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains([]string{own, "localhost", "127.0.0.1", "::1"}, name) })
				slices.Sort(names)
				if key == api.KeyServer && !slices.Equal(names, want) || key == api.KeyPeer && len(names) > 0 {
					return fmt.Errorf("the %s certificate of %s names %v", key, name, names)
				}
			}
		}
		return nil
	}
}

// TestExtraServerNames holds that a load balancer's name is in every server certificate and in no peer certificate, and
// is added and removed without a restart.
func TestExtraServerNames(t *testing.T) {
	w := newWorld(t)
	config := func(names string) string { return three(unprotected + "extra_server_names = " + names) }
	quiet := func(*terraform.State) error {
		for _, call := range w.Changes() {
			if slices.Contains([]api.Operation{api.OpRestart, api.OpStart, api.OpStop}, call.Operation) {
				return fmt.Errorf("a change of names takes a %s of %s", call.Operation, call.Address)
			}
		}
		return nil
	}
	changes := func(names string, says []string, want ...string) tftest.TestStep {
		step := w.asPlanned(t, config(names), says, purpose(plan.PurposeChange))
		step.Check = tftest.ComposeAggregateTestCheckFunc(step.Check, quiet, w.named(want...))
		return step
	}
	w.run(t,
		w.begun(t, config(`["etcd.example.com"]`)),
		tftest.TestStep{Config: config(`["etcd.example.com"]`), Check: w.named("etcd.example.com")},
		changes(`["etcd.example.com", "192.0.2.100", "2001:db8::100"]`,
			[]string{"renew certificates of a (192.0.2.11): its server certificate does not name 192.0.2.100, 2001:db8::100"},
			"192.0.2.100", "2001:db8::100", "etcd.example.com"),
		changes(`["192.0.2.100"]`, []string{"renew certificates of c (192.0.2.13): its server certificate names etcd.example.com, 2001:db8::100, and should not"}, "192.0.2.100"),
		changes("null", []string{"renew certificates of b (192.0.2.12): its server certificate names 192.0.2.100, and should not"}),
		tftest.TestStep{Config: config(`[]`), ExpectError: says("at least 1")},
		tftest.TestStep{Config: config(`["*.example.com"]`), ExpectError: says("this is neither an IP address nor a DNS name")},
		tftest.TestStep{Config: config(`["https://etcd.example.com"]`), ExpectError: says("this is neither an IP address nor a DNS name")},
		tftest.TestStep{Config: config(`["etcd.example.com:2379"]`), ExpectError: says("this is neither an IP address nor a DNS name")},
		tftest.TestStep{Config: config(`["192.0.2.100%eth0"]`), ExpectError: says("this is neither an IP address nor a DNS name")},
		// What the apply itself did not know, no plan has shown.
		tftest.TestStep{Config: `resource "terraform_data" "name" { input = "late.example.com" }` + config(`[terraform_data.name.output]`), Check: w.named("late.example.com")},
	)
}

// TestAnAlarmKeepsNoChangeWaiting holds that an alarm which only a member that is away could disarm refuses no change
// that the others can have: the plan warns of it, and the member disarms it once it is back.
func TestAnAlarmKeepsNoChangeWaiting(t *testing.T) {
	w := newWorld(t)
	config := func(names string) string { return three(unprotected + "extra_server_names = " + names) }
	w.run(t,
		w.begun(t, config(`["etcd.example.com"]`)),
		tftest.TestStep{PreConfig: func() { w.host(13).RaiseAlarm("prod", "NOSPACE"); unreachableHosts(13)(w) },
			Config: config(`["192.0.2.100"]`), ExpectNonEmptyPlan: true},
		tftest.TestStep{PreConfig: func() { w.host(13).Unreachable = nil }, Config: config(`["192.0.2.100"]`), Check: w.named("192.0.2.100")},
		tftest.TestStep{Config: config(`["192.0.2.100"]`), PlanOnly: true},
	)
}

// TestExtraServerNamesSaidOtherwise holds that other spellings of the same names plan nothing, or are refused with the
// accepted spelling.
func TestExtraServerNamesSaidOtherwise(t *testing.T) {
	w := newWorld(t)
	config := func(names string) string { return three(unprotected + "extra_server_names = " + names) }
	quiet := func(names string) tftest.TestStep { return tftest.TestStep{Config: config(names), PlanOnly: true} }
	w.run(t,
		w.begun(t, config(`["etcd.example.com", "2001:db8::100"]`)),
		quiet(`["2001:db8::100", "etcd.example.com"]`),
		quiet(`["etcd.example.com", "2001:db8::100", "etcd.example.com"]`),
		tftest.TestStep{Config: config(`["Etcd.example.com"]`), ExpectError: says(`write it as "etcd.example.com"`)},
		tftest.TestStep{Config: config(`["etcd.example.com."]`), ExpectError: says(`write it as "etcd.example.com"`)},
		tftest.TestStep{Config: config(`["2001:DB8:0::100"]`), ExpectError: says(`write it as "2001:db8::100"`)},
		tftest.TestStep{Config: config(`["::ffff:192.0.2.100"]`), ExpectError: says(`write it as "192.0.2.100"`)},
		// Names that every member, or one of them, has anyway.
		tftest.TestStep{Config: config(`["localhost", "127.0.0.1", "192.0.2.11", "etcd.example.com"]`), Check: w.allWell},
		quiet(`["localhost", "127.0.0.1", "192.0.2.11", "etcd.example.com"]`),
	)
}
