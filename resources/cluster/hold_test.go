package cluster

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// TestNeedsAuthorities has the steps that sign, or give hosts a chain, need authorities that are valid, and no others.
func TestNeedsAuthorities(t *testing.T) {
	for _, test := range []struct {
		step membership.Step
		want bool
	}{
		{membership.Step{Kind: membership.Start}, false},
		{membership.Step{Kind: membership.Roll}, false},
		{membership.Step{Kind: membership.Join}, true},
		{membership.Step{Kind: membership.Recover, Keeps: true}, false},
		{membership.Step{Kind: membership.RenewCertificates}, true},
		{membership.Step{Kind: membership.RenewCertificates, Keeps: true, Why: membership.OldChain + "other intermediates"}, true},
		{membership.Step{Kind: membership.RenewCertificates, Keeps: true, Why: membership.OldRevocations + "another list"}, false},
		{membership.Step{Kind: membership.Configure}, true},
		{membership.Step{Kind: membership.Configure, Keeps: true}, false},
		{membership.Step{Kind: membership.RenewOnHosts, To: "by a server"}, true},
		{membership.Step{Kind: membership.RenewOnHosts}, false},
	} {
		ch := change{plan: plan.Plan{Steps: []membership.Step{test.step}}}
		if got := (clusterModel{Rollout: value.List([]string{})}).needsAuthorities(ch); got != test.want {
			t.Errorf("%s (keeps %t, to %q): %t, not %t", test.step.Kind, test.step.Keeps, test.step.To, got, test.want)
		}
		if !(clusterModel{Rollout: types.ListUnknown(types.StringType)}).needsAuthorities(ch) {
			t.Errorf("%s: an apply whose steps are not known needs none", test.step.Kind)
		}
	}
}

// TestMayWait has a change be complete without what only a build of the provider asks of the survivor of a recovery,
// and never without what the configuration asks for.
func TestMayWait(t *testing.T) {
	recovering := change{cluster: bootstrap.Cluster{Spec: membership.Spec{Recover: membership.Recovery{Member: "a", Abandons: []string{"b"}}}}}
	reconfiguring := recovering
	reconfiguring.reconfigures = true
	for name, test := range map[string]struct {
		ch       change
		deferred membership.Refusal
		want     bool
	}{
		"one that is given up":        {reconfiguring, membership.Refusal{Member: "b"}, true},
		"the survivor":                {recovering, membership.Refusal{Member: "a"}, false},
		"a newer patch":               {recovering, membership.Refusal{Member: "a", Summary: membership.BeforeJoins}, true},
		"an alarm":                    {reconfiguring, membership.Refusal{Member: "c", Summary: membership.StillAlarmed}, true},
		"what the configuration asks": {reconfiguring, membership.Refusal{Member: "a", Summary: membership.BeforeJoins}, false},
	} {
		if got := test.ch.mayWait(&test.deferred); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
