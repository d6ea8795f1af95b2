package resources

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

var errGone = errors.New("unreachable over SSH: no route to host")

const (
	cluster     = "etcd_cluster.prod"
	unprotected = "deletion_protection = false\n"
)

// says matches a message whatever the CLI does to its line breaks.
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

// action is what a plan is to do with the cluster.
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
				tftest.TestCheckResourceAttrPair(cluster, "ca_certificate", "etcd_pki.prod", "client_ca_certificate"),
				tftest.TestCheckResourceAttrPair(cluster, "peer_ca_certificate", "etcd_pki.prod", "peer_ca_certificate"),
				tftest.TestCheckResourceAttrSet(cluster, "cluster_id"),
				tftest.TestCheckResourceAttrSet(cluster, "members.c.id"),
				tftest.TestMatchResourceAttr(cluster, "members.c.certificate_expiry", regexp.MustCompile(`^20.*Z$`)),
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

// TestPlanTellsWhatCreateDoes: all but tokens and IDs is known before anything is done.
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
			for _, name := range []string{"cluster_id", "owner", "ca_certificate"} {
				if unknown[name] != true {
					return fmt.Errorf("%s is known", name)
				}
			}
			return nil
		})}},
	})
}

// TestFailedCreateLeavesNothing: no state, no taint, and the next apply goes on.
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
			},
			Config:           three(unprotected),
			ConfigPlanChecks: action(plancheck.ResourceActionCreate),
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
	for name, test := range map[string]struct {
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
		"one port twice":             {config: three("client_port = 2380"), want: "client_port and peer_port are both 2380"},
		"an election too short":      {config: three(`settings = { heartbeat_interval = "300ms" }`), want: "etcd wants 5 heartbeats at least, which is 1.5s"},
		"a retention without a unit": {config: three(`settings = { auto_compaction_retention = "5" }`), want: "set one like \"5m\""},
		"an unclean path":            {config: three(`data_dir = "/var/lib//etcd"`), want: `write it as "/var/lib/etcd"`},
		"no store":                   {config: three(`version = "3.6"`), want: "this build carries no store of etcd 3.6"},
		"foreign data":               {hosts: func(w *world) { w.Host("192.0.2.12").Litter("/var/lib/etcd/prod") }, config: three(""), want: "data directory /var/lib/etcd/prod is not empty"},
		"a host that is gone":        {hosts: func(w *world) { w.Host("192.0.2.12").Unreachable = errGone }, config: three(""), want: "b (192.0.2.12): unreachable over SSH"},
	} {
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
	w.run(t, steps...)
	if changes := w.changes(); len(changes) > 0 {
		t.Errorf("hosts were changed: %v", changes)
	}
}

// TestUnknownAddresses: hosts that are made in the same apply.
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

func TestImmutable(t *testing.T) {
	w := newWorld(t)
	steps := []tftest.TestStep{{Config: three(unprotected)}}
	for name, test := range map[string]struct{ config, want string }{
		"name":           {strings.Replace(three(unprotected), `name    = "prod"`, `name = "other"`, 1), "name cannot be changed"},
		"a port":         {three(unprotected + "metrics_port = 9999"), "Put back 2381"},
		"data_dir":       {three(unprotected + `data_dir = "/data"`), `Put back "/var/lib/etcd/prod"`},
		"settings":       {three(unprotected + `settings = { snapshot_count = 5000 }`), "Put back those that the cluster was formed with: none"},
		"version":        {three(unprotected + `version = "3.6"`), "The cluster runs etcd 3.7.3"},
		"another pki":    {strings.Replace(three(unprotected), "etcd_pki.prod.authority", "etcd_pki.other.authority", 1) + "\nresource \"etcd_pki\" \"other\" { name = \"other\" }", "These are not the authorities"},
		"a member less":  {strings.NewReplacer(`b = { address = "192.0.2.12" }`, "", `c = { address = "192.0.2.13" }`, "").Replace(three(unprotected)), "b (192.0.2.12) is gone; c (192.0.2.13) is gone"},
		"members more":   {strings.Replace(three(unprotected), "a = {", `d = { address = "192.0.2.14" }, e = { address = "192.0.2.15" }, a = {`, 1), "d is new; e is new"},
		"a member moves": {strings.Replace(three(unprotected), "192.0.2.12", "192.0.2.99", 1), "b moves from 192.0.2.12 to 192.0.2.99"},
		"a host that may be about to be replaced": {unknownAddress(three(unprotected)), "the address of a is not known before apply"},
	} {
		steps = append(steps, tftest.TestStep{PreConfig: func() { t.Log(name) }, Config: test.config, ExpectError: says(test.want)})
	}
	steps[1].PreConfig = w.Forget
	steps = append(steps, tftest.TestStep{Config: three(unprotected), Check: w.untouched})
	w.run(t, steps...)
}

// TestOwnSettings change nothing on the hosts, and in the plan nothing but themselves.
func TestOwnSettings(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three("")},
		tftest.TestStep{
			PreConfig: w.Forget,
			Config:    strings.Replace(three(unprotected+`version = "3.7"`), `"192.0.2.12"`, `"192.0.2.12", zone = "r2", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ8Xf9bCkJ5S1m0lYdVxgxJc3cJ5jJx7n0hL2m2hF0q", ssh_port = 2222`, 1),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionUpdate),
				planned(func(_, unknown map[string]any) error {
					if text, _ := json.Marshal(unknown); strings.Contains(string(text), "true") {
						return fmt.Errorf("unknown: %s", text)
					}
					return nil
				}),
			}},
			Check: values("members.b.zone", "r2", "rollout.#", "13"),
		})
	for _, call := range w.changes() {
		if !strings.HasSuffix(call, "retire") {
			t.Errorf("a host was changed: %s", call)
		}
	}
}

func TestStoppedMemberIsRepaired(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() { w.Host("192.0.2.12").StopUnit("prod"); w.Forget() },
			Config:    three(unprotected),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(cluster, plancheck.ResourceActionUpdate),
				changed(func(before, after map[string]any) error {
					was, is := before["members"].(map[string]any)["b"].(map[string]any)["health"], after["members"].(map[string]any)["b"].(map[string]any)["health"]
					if was != "stopped" || is != "healthy" || before["status"] != "degraded" || after["status"] != "healthy" {
						return fmt.Errorf("health %v -> %v, status %v -> %v", was, is, before["status"], after["status"])
					}
					if rollout := fmt.Sprint(after["rollout"]); rollout != "[start b (192.0.2.12) agree: 3 voters, one cluster ID, one leader, quorum 2]" {
						return errors.New(rollout)
					}
					return nil
				}),
			}},
			Check: tftest.ComposeAggregateTestCheckFunc(values("status", "healthy", "rollout.#", "2"), func(*terraform.State) error {
				if calls := w.changes(); !slices.Equal(calls, []string{"192.0.2.12 start"}) {
					return fmt.Errorf("calls: %v", calls)
				}
				return nil
			}),
		},
		tftest.TestStep{Config: three(unprotected), PlanOnly: true})
}

// TestFailedUpdateKeepsOldWishes: what was wanted and not done is wanted still.
func TestFailedUpdateKeepsOldWishes(t *testing.T) {
	w := newWorld(t)
	purging := three(unprotected + "purge_data = true\n")
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() {
				w.Host("192.0.2.12").StopUnit("prod")
				w.Inject(nodetest.Fault{Operation: api.OpStart, Err: &api.Error{Code: api.CodeFailed, Message: "its unit is masked"}})
			},
			Config:      purging,
			ExpectError: says("start b (192.0.2.12): its unit is masked"),
		},
		tftest.TestStep{
			PreConfig: w.Heal,
			Config:    purging,
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				// What the failed apply has saved.
				changed(func(before, after map[string]any) error {
					if before["purge_data"] != false || after["purge_data"] != true {
						return fmt.Errorf("purge_data %v -> %v", before["purge_data"], after["purge_data"])
					}
					if len(before["rollout"].([]any)) != 13 {
						return fmt.Errorf("rollout was %v", before["rollout"])
					}
					return nil
				}),
			}},
			Check: values("purge_data", "true", "status", "healthy"),
		})
}

func TestUnreachableHostStays(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() { w.Host("192.0.2.13").Unreachable = errGone; w.Forget() },
			Config:    three(unprotected),
			Check: tftest.ComposeAggregateTestCheckFunc(
				values("members.c.health", "unreachable", "members.c.address", "192.0.2.13", "status", "degraded"),
				tftest.TestCheckResourceAttrSet(cluster, "members.c.id")),
		},
		tftest.TestStep{ // What is between Terraform and the provider alone can be changed meanwhile.
			Config: three(unprotected + "purge_data = true\n"),
			Check:  values("members.c.health", "unreachable", "purge_data", "true"),
		},
		tftest.TestStep{ // It is not known what runs there, so it is not destroyed.
			Config: three(unprotected), Destroy: true, ExpectError: says("c (192.0.2.13): it cannot be asked"),
		},
		tftest.TestStep{
			PreConfig: func() {
				if calls := w.changes(); len(calls) > 0 {
					t.Errorf("hosts were changed: %v", calls)
				}
				w.Host("192.0.2.13").Unreachable = nil
			},
			Config: three(unprotected), Check: values("members.c.health", "healthy", "status", "healthy"),
		})
}

// TestLostMembersStay: what was taken off its hosts from outside is shown, and never dropped.
func TestLostMembersStay(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three("")},
		tftest.TestStep{
			PreConfig: w.Host("192.0.2.12").Wipe,
			Config:    three(""), ExpectError: says("b (192.0.2.12): it is missing"),
		},
		tftest.TestStep{
			PreConfig: func() { w.Host("192.0.2.11").Wipe(); w.Host("192.0.2.13").Wipe() },
			Config:    three(""), ExpectError: says("somebody has taken the cluster off all of them"),
		},
		tftest.TestStep{ // It can be unprotected all the same, to be destroyed. The plan after that is refused again.
			Config: three(unprotected), ExpectError: says("terraform destroy -refresh=false"),
		},
	)
}

// TestStrangerIsShown: a member that somebody has added beside Terraform.
func TestStrangerIsShown(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() {
				w.observed = func(o *api.Observation) {
					o.Member.Members = append(o.Member.Members, api.ListedMember{ID: "66", Name: "x", PeerURLs: []string{"https://192.0.2.66:2380"}})
				}
			},
			Config:      three(unprotected),
			ExpectError: says("x: it is in etcd's member list, and this configuration does not know it"),
		},
	)
}

// TestRemovedMemberIsTold: a member that somebody has removed beside Terraform is not started again.
func TestRemovedMemberIsTold(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() {
				w.Host("192.0.2.12").StopUnit("prod")
				w.observed = func(o *api.Observation) {
					o.Member.Members = slices.DeleteFunc(o.Member.Members, func(m api.ListedMember) bool { return m.Name == "b" })
				}
			},
			Config:      three(unprotected),
			ExpectError: says("b: somebody has removed it from etcd's member list"),
		},
	)
}

func TestDeletionProtection(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three("")},
		tftest.TestStep{PreConfig: w.Forget, Config: three(""), Destroy: true, ExpectError: says("deletion_protection is on")},
		tftest.TestStep{Config: three(unprotected), Check: w.untouched})
}

func TestReplacementIsRefused(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: w.Forget,
			Config:    three(unprotected), Taint: []string{cluster},
			ExpectError: says("Its destruction is one half of a replacement"),
		},
		tftest.TestStep{
			PreConfig: func() {
				if calls := w.changes(); len(calls) > 0 {
					t.Errorf("hosts were changed: %v", calls)
				}
			},
			Config: three(unprotected), Destroy: true, // The refusal must not stick: a destroy is one.
		})
}

// TestDestroyThatFailedIsNoLicence: the note that a destroy was planned must not outlive it.
func TestDestroyThatFailedIsNoLicence(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() { w.Host("192.0.2.13").Unreachable = errGone },
			Config:    three(unprotected), Destroy: true, ExpectError: says("it cannot be asked"),
		},
		tftest.TestStep{
			PreConfig: func() { w.Host("192.0.2.13").Unreachable = nil },
			Config:    three(unprotected), Taint: []string{cluster}, ExpectError: says("one half of a replacement"),
		},
		tftest.TestStep{Config: three(unprotected), Destroy: true})
}

// TestOwnerIsNotAdopted: hosts that another state has taken over are neither believed nor touched.
func TestOwnerIsNotAdopted(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() {
				for _, address := range []string{"192.0.2.11", "192.0.2.12", "192.0.2.13"} {
					w.Host(address).EditMarker("prod", func(m *api.Marker) { m.Owner = "another" })
				}
				w.Forget()
			},
			Config: three(unprotected), ExpectError: says("a (192.0.2.11): it is foreign"),
		})
	if calls := w.changes(); len(calls) > 0 {
		t.Errorf("another state's hosts were changed: %v", calls)
	}
}

// TestReplacementBeforehandIsRefused: here Terraform would create the new cluster on the hosts of the
// old one, and then destroy the old one in earnest.
func TestReplacementBeforehandIsRefused(t *testing.T) {
	w := newWorld(t)
	config := three(unprotected + "lifecycle { create_before_destroy = true }")
	w.run(t, tftest.TestStep{Config: config},
		tftest.TestStep{
			PreConfig: w.Forget, Config: config, Taint: []string{cluster},
			ExpectError: says("it runs member a of a finished cluster prod already"),
		},
		tftest.TestStep{PreConfig: func() {
			if changes := w.changes(); len(changes) > 0 {
				t.Errorf("hosts were changed: %v", changes)
			}
		}, Config: config, Destroy: true})
}

// TestSettingsNotKnownYet: a host that cannot be looked at yet is no reason to change the state.
func TestSettingsNotKnownYet(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{PreConfig: func() { w.notKnown = true }, Config: three(unprotected), ExpectError: says("ssh.private_key: not known before apply")},
		tftest.TestStep{PreConfig: func() { w.notKnown = false }, Config: three(unprotected)},
		tftest.TestStep{PreConfig: func() { w.notKnown = true; w.Host("192.0.2.12").StopUnit("prod") }, Config: three(unprotected), PlanOnly: true},
		tftest.TestStep{PreConfig: func() { w.notKnown = false }, Config: three(unprotected), Check: values("rollout.#", "2")})
}
