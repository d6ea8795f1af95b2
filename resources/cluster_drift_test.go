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
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/signing"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// drift is a change of a cluster behind Terraform's back.
type drift struct {
	happen func(*world)
	health string // of member b then
	drift  string // of member b then
	alarms string
	status string // then; empty: degraded
	says   []string
}

// shows is a check that a plan shows exactly this drift, and the steps that repair it.
func (d drift) shows(before, after map[string]any) error {
	was, is := before["members"].(map[string]any)["b"].(map[string]any), after["members"].(map[string]any)["b"].(map[string]any)
	status := d.status
	if status == "" {
		status = "degraded"
	}
	for _, seen := range []struct {
		what      string
		got, want any
	}{
		{"health", was["health"], d.health}, {"health afterwards", is["health"], "healthy"},
		{"drift", strings.Join(texts(was["drift"]), "; "), d.drift}, {"drift afterwards", strings.Join(texts(is["drift"]), "; "), ""},
		{"alarms", strings.Join(texts(before["alarms"]), "; "), d.alarms}, {"alarms afterwards", strings.Join(texts(after["alarms"]), "; "), ""},
		{"status", before["status"], status}, {"status afterwards", after["status"], "healthy"},
	} {
		if seen.got != seen.want {
			return fmt.Errorf("%s is %q, want %q", seen.what, seen.got, seen.want)
		}
	}
	return nil
}

// TestDriftIsShownAndMended holds that the plan shows each drift as what it is, and that the apply repairs it.
func TestDriftIsShownAndMended(t *testing.T) {
	foreign, err := signing.NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, drifts := range map[string][]drift{
		"of the unit": {
			{happen: func(w *world) { w.host(12).StopUnit("prod") }, health: "stopped", says: []string{"start b (192.0.2.12)"}},
			{happen: func(w *world) { w.host(12).DisableUnit("prod") }, health: "healthy", drift: "its unit is disabled", status: "healthy",
				says: []string{"start b (192.0.2.12): its unit is disabled, and would not start at boot"}},
			{happen: func(w *world) { w.host(12).StopUnit("prod"); w.host(12).DisableUnit("prod") }, health: "stopped", drift: "its unit is disabled", says: []string{"start b (192.0.2.12)"}},
			{happen: func(w *world) { w.host(12).EditUnit("prod", "[Service]\nExecStart=/bin/true\n") }, health: "healthy", drift: "its unit differs", status: "healthy",
				says: []string{"roll b (192.0.2.12): its unit; voters 3, quorum 2, healthy 2 meanwhile"}},
			{happen: func(w *world) {
				w.host(12).EditFlags("prod", func(flags []string) []string { return append(flags, "--max-txn-ops=1") })
			}, health: "healthy", drift: "flags --max-txn-ops 1 -> (not set) (host -> desired)", status: "healthy", says: []string{"roll b (192.0.2.12): flags --max-txn-ops 1 -> (not set); voters"}},
		},
		"of the host": {
			{happen: func(w *world) { w.host(12).SwapBinary("prod", w.AddStores("3.7.1")["amd64"]) }, health: "healthy", drift: "another store was put in place of its own", status: "healthy",
				says: []string{"roll b (192.0.2.12): another store was put in place of its own"}},
			{happen: func(w *world) { w.host(12).ForeignCertificates("prod", foreign) }, health: "healthy", status: "healthy",
				drift: "its peer certificate is not of the cluster's authority, or does not say what it has to",
				says:  []string{"renew certificates of b (192.0.2.12): its peer certificate is not of the cluster's authority, or does not say what it has to; with new keys, loaded without a restart"}},
			{happen: func(w *world) { w.host(12).OpenKey("prod", api.KeyPeer) }, health: "healthy", status: "healthy",
				drift: "others than its user can read its key /etc/etcd/prod/tls/peer.key",
				says:  []string{"renew certificates of b (192.0.2.12): others than its user can read its key /etc/etcd/prod/tls/peer.key, which is made anew; with new keys, loaded without a restart"}},
			{happen: func(w *world) { w.Clock = w.Clock.AddDate(2, 0, 0) }, health: "healthy", drift: "its peer certificate has expired", status: "healthy",
				says: []string{"renew certificates of a (192.0.2.11): its peer certificate has expired", "renew certificates of b (192.0.2.12): its peer certificate has expired", "renew certificates of c (192.0.2.13): its peer certificate has expired"}},
			{happen: func(w *world) { w.host(12).RaiseAlarm("prod", "NOSPACE") }, health: "healthy", alarms: "NOSPACE", status: "healthy", says: []string{"disarm: members defragmented"}},
		},
		"of the list": {
			{happen: func(w *world) { w.RemoveBehindOurBack("prod", "b") }, health: "removed", says: []string{"set aside b (192.0.2.12): it is no longer in the member list, and joins anew"}},
			{happen: func(w *world) { w.host(12).Wipe() }, health: "missing", says: []string{"remove b (192.0.2.12): dead, its host carries nothing of it"}},
		},
		"of the data": {
			{happen: func(w *world) { w.host(12).LoseData(dir) }, health: "lost", drift: "its data is lost", says: []string{"remove b (192.0.2.12): dead, its data is lost"}},
			{happen: func(w *world) { w.host(12).ForeignData("prod") }, health: "lost", drift: "its data directory holds another member's data", says: []string{"remove b (192.0.2.12): dead, its data directory holds another member's data"}},
			{happen: func(w *world) { w.host(12).RollBack("prod", 1) }, health: "lost", drift: "its data is older than it was", says: []string{"remove b (192.0.2.12): dead, its data is older than it was"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			steps := []tftest.TestStep{w.begun(t, three(unprotected))}
			for _, d := range drifts {
				mend := w.asPlanned(t, three(unprotected), d.says, changed(d.shows), purpose(plan.PurposeRepair))
				mend.PreConfig = func() {
					w.put(t)
					w.Forget()
					d.happen(w)
				}
				steps = append(steps, mend)
			}
			w.run(t, steps...)
		})
	}
}

// TestStartIsAllThatAStoppedMemberTakes holds that a member that is down is brought up with the least possible change.
func TestStartIsAllThatAStoppedMemberTakes(t *testing.T) {
	w := newWorld(t)
	w.run(t, w.begun(t, three(unprotected)), tftest.TestStep{
		PreConfig: func() { w.host(12).StopUnit("prod") },
		Config:    three(unprotected),
		Check: func(*terraform.State) error {
			if calls := w.changes(); !slices.Equal(calls, []string{"192.0.2.12 start"}) {
				return fmt.Errorf("calls: %v", calls)
			}
			return nil
		},
	})
}

// TestFailedUpdateKeepsOldConfiguration holds that a change that failed is still planned.
func TestFailedUpdateKeepsOldConfiguration(t *testing.T) {
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
				// The state that the failed apply has saved.
				changed(func(before, after map[string]any) error {
					if before["purge_data"] != false || after["purge_data"] != true {
						return fmt.Errorf("purge_data %v -> %v", before["purge_data"], after["purge_data"])
					}
					if len(texts(before["rollout"])) != 0 || fmt.Sprint(before["last_rollout"]) != "[start b (192.0.2.12)]" {
						return fmt.Errorf("rollout was %v, the last %v", before["rollout"], before["last_rollout"])
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
			Config:    three(unprotected), ExpectNonEmptyPlan: true, // the next plan observes the host again
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{purpose(plan.PurposeNone)}},
			Check: tftest.ComposeAggregateTestCheckFunc(
				values("members.c.health", "unreachable", "members.c.address", "192.0.2.13", "status", "degraded"),
				tftest.TestCheckResourceAttrSet(cluster, "members.c.id")),
		},
		tftest.TestStep{ // Meanwhile attributes that concern only Terraform and the provider can change.
			Config:             three(unprotected + "purge_data = true\n"),
			ExpectNonEmptyPlan: true,
			Check:              values("members.c.health", "unreachable", "purge_data", "true"),
		},
		tftest.TestStep{ // Nobody knows what runs on that host, so the cluster is not destroyed.
			Config: three(unprotected), Destroy: true, ExpectError: says("At the last refresh these members' hosts could not be asked: c (192.0.2.13)."),
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

// TestUnreachableHostBlocksOnlyWhatItMust has an unreachable host: repairs that disturb nobody are done, steps with a
// restart wait, and a replacement of that very member proceeds.
func TestUnreachableHostBlocksOnlyWhatItMust(t *testing.T) {
	w := newWorld(t)
	warns := func(texts ...string) tftest.TestCheckFunc {
		return func(*terraform.State) error {
			warned := w.warned()
			for _, text := range texts {
				if !strings.Contains(warned, text) {
					return fmt.Errorf("no warning says %q:\n%s", text, warned)
				}
			}
			return nil
		}
	}
	const down = "Member c of cluster prod could not be asked: c (192.0.2.13): unreachable over SSH: no route to host"
	w.run(t, w.begun(t, three(unprotected)),
		tftest.TestStep{
			PreConfig: func() { w.host(13).Unreachable = errGone; w.host(12).DisableUnit("prod"); w.awaited() },
			Config:    three(unprotected), ExpectNonEmptyPlan: true, // the next plan observes c again
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(after, _ map[string]any) error {
				if rollout := fmt.Sprint(after["rollout"]); rollout != "[start b (192.0.2.12): its unit is disabled, and would not start at boot]" {
					return fmt.Errorf("rollout is %s", rollout)
				}
				return nil
			})}},
			Check: tftest.ComposeAggregateTestCheckFunc(values("members.c.health", "unreachable", "members.b.health", "healthy", "status", "degraded"),
				warns(down, "Nothing is done to it, and the state keeps what was last seen of it", "give the member the address of another host"),
				func(*terraform.State) error {
					// The refresh has tried the host in vain, and the plan does not wait for it again.
					if awaited := w.awaited(); fmt.Sprint(awaited) != "[192.0.2.11 192.0.2.12]" {
						return fmt.Errorf("the apply waits for %v", awaited)
					}
					return nil
				}),
		},
		tftest.TestStep{
			PreConfig: func() {
				w.host(12).EditFlags("prod", func(flags []string) []string { return append(flags, "--max-txn-ops=1") })
				w.Forget()
			},
			Config: three(unprotected), ExpectNonEmptyPlan: true,
			Check: tftest.ComposeAggregateTestCheckFunc(w.untouched, values("members.b.drift.0", "flags --max-txn-ops 1 -> (not set) (host -> desired)"),
				warns(down, "A repair has to wait: b (192.0.2.12): it cannot be restarted (flags --max-txn-ops 1 -> (not set)): 2 of 3 voters are healthy, and all have to be; bring back what is down: c (192.0.2.13)")),
		},
		w.asPlanned(t, of("a b c@23", unprotected), []string{"remove c (192.0.2.13): dead, its host cannot be reached", "promote c (192.0.2.23)", "roll b (192.0.2.12): flags --max-txn-ops"}, purpose(plan.PurposeChange)),
	)
}

// TestHostComesBack has an unreachable host come back by itself, or by another route.
func TestHostComesBack(t *testing.T) {
	w := newWorld(t)
	otherWay := strings.Replace(three(unprotected), `"192.0.2.13"`, `"192.0.2.13", ssh_port = 2222`, 1)
	w.run(t, w.begun(t, three(unprotected)),
		tftest.TestStep{
			PreConfig: func() { w.host(13).Unreachable = errGone },
			Config:    three(unprotected),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(_, unknown map[string]any) error {
				w.host(13).Unreachable = nil // after the plan, and before the apply
				if c := unknown["members"].(map[string]any)["c"].(map[string]any); c["health"] != true || unknown["status"] != true {
					return fmt.Errorf("unknown is %v", unknown)
				}
				return nil
			})}},
			Check: tftest.ComposeAggregateTestCheckFunc(w.allWell, w.untouched),
		},
		tftest.TestStep{ // No plan has shown the steps that this takes.
			PreConfig: func() { w.host(13).Unreachable = errGone },
			Config:    three(unprotected),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(_, _ map[string]any) error {
				w.host(13).Unreachable = nil
				w.host(13).StopUnit("prod")
				return nil
			})}},
			ExpectError: says("the cluster is not as it was when this was planned: it needs a step that the plan has not shown (start c (192.0.2.13)); plan again This plan cannot be applied any more."),
		},
		w.asPlanned(t, three(unprotected), []string{"start c (192.0.2.13)"}),
		tftest.TestStep{
			PreConfig: func() {
				w.Forget()
				w.doors = map[string]int{"192.0.2.13": 2222}
				w.host(13).StopUnit("prod")
			},
			Config: three(unprotected), ExpectNonEmptyPlan: true, Check: tftest.ComposeAggregateTestCheckFunc(w.untouched, values("members.c.health", "unreachable")),
		},
		tftest.TestStep{
			Config: otherWay,
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(_, unknown map[string]any) error {
				if unknown["rollout"] != true {
					return fmt.Errorf("rollout is known, of a host that nobody has seen: %v", unknown)
				}
				return nil
			})}},
			Check: tftest.ComposeAggregateTestCheckFunc(w.allWell, values("rollout.0", "start c (192.0.2.13)", "members.c.ssh_port", "2222")),
		},
	)
}

// TestLostMembersStay holds that members which somebody has removed from their hosts are shown, and never dropped. One
// such member is rebuilt; if all of them are lost, nothing is left to build on.
func TestLostMembersStay(t *testing.T) {
	w := newWorld(t)
	hint := "If that is what you have started, nothing of it was done"
	none := func() { // Somebody who is about to bring the hosts back reads nothing of a destroy.
		if text := w.refused() + w.warned(); text == "" || strings.Contains(text, "destroy") {
			t.Errorf("a plan that is refused says\n%s", text)
		}
	}
	w.run(t, tftest.TestStep{Config: three("")},
		tftest.TestStep{
			PreConfig: w.Host("192.0.2.12").Wipe,
			Config:    three(""), Check: values("members.b.health", "healthy", "status", "healthy"),
		},
		tftest.TestStep{
			PreConfig: func() {
				for _, address := range []string{"192.0.2.11", "192.0.2.12", "192.0.2.13"} {
					w.Host(address).Wipe()
				}
				w.warned()
			},
			Config: three(""), ExpectError: says("somebody has taken it off all of them"),
		},
		tftest.TestStep{ // The protection can be taken off all the same, for a destroy. The next plan is refused again.
			PreConfig: none,
			Config:    three(unprotected), ExpectError: says("somebody has taken it off all of them"),
		},
		tftest.TestStep{ // Somebody who may want a destroy learns where to read on, and no command.
			PreConfig: func() { w.refused(); w.warned() },
			Config:    three(unprotected), ExpectError: says("somebody has taken it off all of them"),
		},
		tftest.TestStep{PreConfig: func() {
			if text := w.refused() + w.warned(); !strings.Contains(text, hint) || strings.Contains(text, "terraform destroy") || strings.Contains(text, "-refresh=false") {
				t.Errorf("a plan that is refused says\n%s", text)
			}
		}, Config: three(unprotected + `recover_from = { member = "a", cluster_id = "1", abandons = ["b", "c"] }`), ExpectError: says("Error")},
		tftest.TestStep{PreConfig: none, Config: three(unprotected), ExpectError: says("somebody has taken it off all of them")},
	)
}

// TestUnmanagedMemberIsShown holds that a member which somebody has added beside Terraform is shown.
func TestUnmanagedMemberIsShown(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() {
				w.observed = func(o *api.Observation) {
					o.Member.Members = append(o.Member.Members, api.ListedMember{ID: "66", Name: "x", PeerURLs: []string{"https://192.0.2.66:2380"}})
				}
			},
			Config:      three(unprotected),
			ExpectError: says("member x (ID 66, peer URL https://192.0.2.66:2380)"),
		},
	)
}

// TestRemovedMemberJoinsAnew holds that a member which somebody has removed beside Terraform is not started as it was:
// its data is moved aside, and it joins anew.
func TestRemovedMemberJoinsAnew(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() { w.RemoveBehindOurBack("prod", "b") },
			Config:    three(unprotected),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				changed(func(before, after map[string]any) error {
					if was := before["members"].(map[string]any)["b"].(map[string]any)["health"]; was != "removed" {
						return fmt.Errorf("health was %v", was)
					}
					return nil
				}),
			}},
			Check: values("members.b.health", "healthy", "status", "healthy"),
		},
		tftest.TestStep{Config: three(unprotected), PlanOnly: true},
	)
	if aside := w.Host("192.0.2.12").Aside("/var/lib/etcd/prod"); len(aside) == 0 {
		t.Error("the data of the member that was removed was not moved aside")
	}
}

// TestSettingsNotKnownYet holds that a host which cannot be observed yet does not change the state.
func TestSettingsNotKnownYet(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{PreConfig: func() { w.notKnown = true }, Config: three(unprotected), ExpectError: says("ssh.private_key: not known before apply")},
		tftest.TestStep{PreConfig: func() { w.notKnown = false }, Config: three(unprotected)},
		tftest.TestStep{PreConfig: func() { w.notKnown = true; w.Host("192.0.2.12").StopUnit("prod") }, Config: three(unprotected), PlanOnly: true},
		tftest.TestStep{PreConfig: func() { w.notKnown = false }, Config: three(unprotected), Check: values("rollout.#", "2")})
}

// TestMembersCertificatesBecomeDue holds that a plan renews what its refresh has found due, from the very second on,
// and that refreshes of an unchanged cluster are alike.
func TestMembersCertificatesBecomeDue(t *testing.T) {
	w := newWorld(t)
	// The last third of a year and of the five minutes before it.
	due := w.Clock.Add(8760*time.Hour - (8760*time.Hour+5*time.Minute)/3)
	looks := func(at time.Time) tftest.TestStep {
		return tftest.TestStep{PreConfig: func() { w.Clock = at }, Config: three(unprotected), PlanOnly: true, ExpectNonEmptyPlan: true}
	}
	renews := w.asPlanned(t, three(unprotected), []string{"renew certificates of a (192.0.2.11): its peer certificate expires at", "renew certificates of c (192.0.2.13)"}, purpose(plan.PurposeRepair))
	var first string
	renews.PreConfig = func() {
		kept := w.privately()
		if last := unpacked(t, kept[len(kept)-1]); last != first {
			t.Errorf("private state is %s\nafter %s", last, first)
		}
		w.Clock = w.Clock.Add(time.Minute)
		w.Forget()
	}
	w.run(t,
		w.begun(t, three(unprotected)),
		tftest.TestStep{PreConfig: func() { w.Clock = due.Add(-time.Second) }, Config: three(unprotected), PlanOnly: true},
		tftest.TestStep{PreConfig: func() { w.Clock = due.Add(time.Second) }, Config: three(unprotected), PlanOnly: true, ExpectNonEmptyPlan: true},
		tftest.TestStep{RefreshState: true, ExpectNonEmptyPlan: true},
		tftest.TestStep{PreConfig: func() { kept := w.privately(); first = unpacked(t, kept[len(kept)-1]) }, RefreshState: true, ExpectNonEmptyPlan: true},
		looks(due.Add(90*time.Minute)),
		renews,
	)
}

// TestHostsNotAskedAreOneWarning holds that hosts which cannot be asked are one warning, which names all of them.
func TestHostsNotAskedAreOneWarning(t *testing.T) {
	w := newWorld(t)
	w.run(t, w.begun(t, of("a b c d e", unprotected)),
		tftest.TestStep{
			PreConfig: func() { w.host(14).Unreachable, w.host(15).Unreachable = errGone, errGone; w.warned() },
			Config:    of("a b c d e", unprotected), ExpectNonEmptyPlan: true,
			Check: func(*terraform.State) error {
				const want = "2 members of cluster prod could not be asked: d (192.0.2.14): unreachable over SSH: no route to host\ne (192.0.2.15): unreachable over SSH: no route to host\n\nNothing is done to them"
				warned := w.warned()
				if !strings.Contains(warned, want) || strings.Contains(warned, "Member d of cluster") || !strings.Contains(warned, "this plan replaces it.\n") && !strings.HasSuffix(warned, "this plan replaces it.") {
					return fmt.Errorf("it warns of %s", warned)
				}
				return nil
			},
		},
		tftest.TestStep{PreConfig: func() { w.host(14).Unreachable, w.host(15).Unreachable = nil, nil }, Config: of("a b c d e", unprotected)},
	)
}
