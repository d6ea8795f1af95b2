package resources_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

const (
	cluster     = "etcd_cluster.prod"
	unprotected = "deletion_protection = false\n"
)

// errGone is the SSH error for a host that is switched off.
var errGone = fmt.Errorf("%w: no route to host", ssh.ErrUnreachable)

// says matches a message, wherever the CLI breaks its lines.
func says(text string) *regexp.Regexp {
	words := strings.Fields(text)
	for i, word := range words {
		words[i] = regexp.QuoteMeta(word)
	}
	return regexp.MustCompile(strings.Join(words, `[\s│]+`))
}

// values compares attributes of the cluster.
func values(pairs ...string) tftest.TestCheckFunc {
	var checks []tftest.TestCheckFunc
	for i := 0; i < len(pairs); i += 2 {
		checks = append(checks, tftest.TestCheckResourceAttr(cluster, pairs[i], pairs[i+1]))
	}
	return tftest.ComposeAggregateTestCheckFunc(checks...)
}

// action is what a plan does with the cluster.
func action(does plancheck.ResourceActionType) tftest.ConfigPlanChecks {
	return tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(cluster, does)}}
}

func TestClusterLife(t *testing.T) {
	w := newWorld(t)
	w.run(t,
		tftest.TestStep{
			Config: three(unprotected),
			Check: tftest.ComposeAggregateTestCheckFunc(
				values("status", "healthy", "members.b.health", "healthy", "rollout.#", "13",
					"rollout.0", "install a (192.0.2.11): store for etcd 3.7.3",
					"endpoints.2", "https://192.0.2.13:2379", "members.a.peer_url", "https://192.0.2.11:2380",
					"data_dir", "/var/lib/etcd/prod", "etcd_version", "3.7.3"),
				tftest.TestCheckResourceAttrPair(cluster, "client_ca_certificate", "etcd_pki.prod", "client_ca_certificate"),
				tftest.TestCheckResourceAttrPair(cluster, "peer_ca_certificate", "etcd_pki.prod", "peer_ca_certificate"),
				tftest.TestCheckResourceAttrSet(cluster, "cluster_id"),
				tftest.TestCheckResourceAttrSet(cluster, "members.c.id"),
				tftest.TestMatchResourceAttr(cluster, "members.c.certificate_expires_at", regexp.MustCompile(`^20.*Z$`)),
				tftest.TestCheckNoResourceAttr(cluster, "pki"),
			),
		},
		tftest.TestStep{Config: three(unprotected), PlanOnly: true},
	)
	for _, address := range []string{"192.0.2.11", "192.0.2.12", "192.0.2.13"} {
		if left := w.Host(address).Leftovers("prod", "/var/lib/etcd/prod"); len(left) > 0 {
			t.Errorf("%s: destroy has left %v", address, left)
		}
		if len(w.Host(address).Aside("/var/lib/etcd/prod")) != 1 {
			t.Errorf("%s: the data was not moved aside", address)
		}
	}
}

// TestPlanTellsWhatCreateDoes holds that a plan knows everything except tokens and IDs.
func TestPlanTellsWhatCreateDoes(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{
		Config: three(unprotected), PlanOnly: true, ExpectNonEmptyPlan: true,
	}, tftest.TestStep{
		Config: three(unprotected),
		ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(after, unknown map[string]any) error {
			if rollout, _ := after["rollout"].([]any); len(rollout) != 13 || rollout[9] != "agree: 3 voters, one cluster ID, one leader, quorum 2" {
				return fmt.Errorf("rollout is %v", after["rollout"])
			}
			members := after["members"].(map[string]any)
			if b := members["b"].(map[string]any); b["health"] != "healthy" || b["client_url"] != "https://192.0.2.12:2379" {
				return fmt.Errorf("member b is %v", b)
			}
			for _, name := range []string{"cluster_id", "owner", "client_ca_certificate"} {
				if unknown[name] != true {
					return fmt.Errorf("%s is known", name)
				}
			}
			return nil
		})}},
	})
}

// TestFailedCreateLeavesNothing holds that a failed create leaves no state and no taint, and that the next apply
// continues.
func TestFailedCreateLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.Inject(nodetest.Fault{Address: "192.0.2.13", Operation: api.OpStart, Err: &api.Error{Code: api.CodeFailed, Message: "the disk is full"}})
	var owner string
	w.run(t,
		tftest.TestStep{Config: three(unprotected), ExpectError: says("start c (192.0.2.13): the disk is full")},
		tftest.TestStep{
			PreConfig: func() {
				w.Heal()
				owner = w.Host("192.0.2.11").Marker("prod").Owner
				w.Forget()
				w.warned()
			},
			Config: three(unprotected),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionCreate),
				planFunc(func(_, _, _ map[string]any) error {
					warned := w.warned()
					for _, text := range []string{"The apply continues an unfinished create of cluster prod", "  start c (192.0.2.13)", "  agree: 3 voters"} {
						if !strings.Contains(warned, text) {
							return fmt.Errorf("no warning says %q:\n%s", text, warned)
						}
					}
					if strings.Contains(warned, "  install a") || strings.Contains(warned, "  start a") {
						return fmt.Errorf("what is done is to be done:\n%s", warned)
					}
					return nil
				}),
			}},
			Check: tftest.ComposeAggregateTestCheckFunc(
				values("status", "healthy", "rollout.#", "13"),
				func(*terraform.State) error {
					if calls := w.changes(); slices.ContainsFunc(calls, func(c string) bool { return strings.HasSuffix(c, "install") || strings.HasSuffix(c, "prepare") }) {
						return fmt.Errorf("the second create began anew: %v", calls)
					}
					return nil
				},
				func(s *terraform.State) error { return tftest.TestCheckResourceAttr(cluster, "owner", owner)(s) },
			),
		},
	)
}

func TestCreateRefuses(t *testing.T) {
	w := newWorld(t)
	var steps []tftest.TestStep
	cases := map[string]struct {
		hosts  func(*world)
		config string
		want   string
	}{
		"an even size": {config: strings.Replace(three(""), `c = { address = "192.0.2.13" }`, "", 1),
			want: "2 tolerate the loss of 0, as 1 do"},
		"one address twice": {config: strings.Replace(three(""), "192.0.2.13", "192.0.2.11", 1),
			want: "c (192.0.2.11): member a has the same address"},
		"one address twice, another unknown": {config: unknownAddress(strings.Replace(three(""), "192.0.2.13", "192.0.2.12", 1)),
			want: "c (192.0.2.12): member b has the same address"},
		"an even size, an address unknown": {config: unknownAddress(strings.Replace(three(""), `c = { address = "192.0.2.13" }`, "", 1)),
			want: "2 tolerate the loss of 0"},
		"an address with a port":     {config: strings.Replace(three(""), "192.0.2.13", "192.0.2.13:22", 1), want: `"192.0.2.13:22": this is neither`},
		"a name that is none":        {config: strings.Replace(three(""), "a = {", `"a=b" = {`, 1), want: "no hyphen at either end"},
		"a port of root's":           {config: three("client_port = 443"), want: "client_port is 443, and members run as the user etcd, who may bind the ports from 1024 to 65535 alone on it"},
		"one port twice":             {config: three("client_port = 2380"), want: "client_port and peer_port are both 2380"},
		"an election too short":      {config: three(`settings = { heartbeat_interval = "300ms" }`), want: "etcd wants 5 heartbeats at least, which is 1.5s"},
		"a retention without a unit": {config: three(`settings = { auto_compaction_retention = "5" }`), want: "set one like \"5m\""},
		"an unclean path":            {config: three(`data_dir = "/var/lib//etcd"`), want: `write it as "/var/lib/etcd"`},
		"no time at all":             {config: three(`timeouts = { update = "-5m" }`), want: `Bad value for timeouts.update`},
		"a time without a unit":      {config: three(`timeouts = { read = "30" }`), want: "this is no number with a unit (h, m, s, ms)"},
		"a version that is none":     {config: three(`version = "v3.7"`), want: `must be a minor version of etcd, like "3.7", or an exact version, like "3.7.3"`},
		"no store":                   {config: three(`version = "3.6"`), want: "this build carries no store of etcd 3.6"},
		"foreign data":               {hosts: func(w *world) { w.Host("192.0.2.12").Litter("/var/lib/etcd/prod") }, config: three(""), want: "data directory /var/lib/etcd/prod is not empty"},
		"a host that is gone":        {hosts: func(w *world) { w.Host("192.0.2.12").Unreachable = errGone }, config: three(""), want: "b (192.0.2.12): unreachable over SSH"},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		test := cases[name]
		steps = append(steps, tftest.TestStep{
			PreConfig: func() {
				t.Log(name)
				for _, address := range []string{"192.0.2.11", "192.0.2.12", "192.0.2.13"} {
					w.Host(address).Unreachable = nil
					w.Host(address).Wipe()
				}
				if test.hosts != nil {
					test.hosts(w)
				}
			},
			Config: test.config, ExpectError: says(test.want),
		})
	}
	steps = append(steps, tftest.TestStep{
		PreConfig: func() {
			if changes := w.changes(); len(changes) > 0 {
				t.Errorf("hosts were changed: %v", changes)
			}
			w.Host("192.0.2.12").Unreachable = nil
			w.Host("192.0.2.12").Wipe()
		},
		Config: three(unprotected),
	})
	w.run(t, steps...)
}

// TestUnknownAddresses forms a cluster on hosts that the same apply makes.
func TestUnknownAddresses(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{
		Config: unknownAddress(three(unprotected)),
		ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(after, unknown map[string]any) error {
			if unknown["rollout"] != true || unknown["endpoints"] != true {
				return fmt.Errorf("rollout and endpoints are known: %v", unknown)
			}
			return nil
		})}},
		Check: values("rollout.#", "13", "members.a.client_url", "https://192.0.2.11:2379"),
	})
}
