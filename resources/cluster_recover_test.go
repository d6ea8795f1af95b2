package resources_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// TestRecovery has a cluster lose its quorum. A plan says how to recover, refuses the recovery if the configuration
// names another cluster, another survivor or too few lost members, and recovers once it names all of them. The recovery
// is done once.
func TestRecovery(t *testing.T) {
	// id is a configuration with the cluster's ID, which no configuration can know before the cluster is formed.
	w, id := newWorld(t), filepath.Join(t.TempDir(), "id")
	from := func(member, abandons string) string {
		return three(fmt.Sprintf("%srecover_from = { member = %q, cluster_id = file(%q), abandons = [%s] }\n", unprotected, member, id, abandons))
	}
	name := func(text string) {
		if err := os.WriteFile(id, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	var formed string
	remember := func(s *terraform.State) error {
		formed = s.RootModule().Resources[cluster].Primary.Attributes["cluster_id"]
		name(formed)
		return nil
	}
	refused := func(config, why string) tftest.TestStep {
		return tftest.TestStep{Config: config, ExpectError: says(why)}
	}
	another := refused(from("a", `"b", "c"`), "A recovery overwrites what is named, and nothing else")
	another.PreConfig = func() {
		for last := 12; last <= 13; last++ {
			w.host(last).LoseData(dir)
		}
		w.Lasting = false // the test loses the quorum, and writes that only the others had
		name("deadbeef")
		w.Forget()
	}
	survivor := refused(from("b", `"a", "c"`), "no voter with its data is at its address")
	survivor.PreConfig = func() {
		if calls := w.changes(); len(calls) > 0 {
			t.Errorf("what was refused has changed hosts: %v", calls)
		}
		name(formed)
	}
	keyless := strings.Replace(from("a", `"b", "c"`), "etcd_pki.prod.authority", "{ peer = { certificate = etcd_pki.prod.authority.peer.certificate }, client = { certificate = etcd_pki.prod.authority.client.certificate } }", 1)
	served := w.asPlanned(t, keyless, []string{"recover a (192.0.2.11): it alone is the cluster, up to term 1, index ",
		"; b (no data), c (no data) are given up, and join anew; writes that only they had are lost"}, purpose(plan.PurposeRecovery), meanwhile(func() {
		if text := w.warned(); strings.Count(text, "this waits while certificates cannot be signed: join ") != 2 {
			t.Errorf("the plan warns of %q", text)
		}
	}))
	served.Check, served.ConfigPlanChecks.PostApplyPostRefresh = values("status", "degraded"), nil
	served.ExpectError = regexp.MustCompile(`(?s)post-apply .*This plan needs the key of an authority.*join b .*join c `)
	w.run(t,
		tftest.TestStep{Config: three(unprotected), Check: tftest.ComposeAggregateTestCheckFunc(remember, func(*terraform.State) error { w.put(t); return nil })},
		tftest.TestStep{ // With a quorum, recover_from does nothing.
			PreConfig: func() { w.warned() },
			Config:    from("a", `"b", "c"`),
			Check: tftest.ComposeAggregateTestCheckFunc(values("rollout.#", "0", "planned_change", "change"), w.allWell, func(*terraform.State) error {
				if text := w.warned(); !strings.Contains(text, "recover_from does nothing: A quorum can be had") {
					return fmt.Errorf("the plan warns of %q", text)
				}
				return nil
			}),
		},
		tftest.TestStep{Config: three(unprotected), Check: remember},
		another,
		refused(three(unprotected), "recover from the survivor with the highest term and index"),
		survivor,
		refused(from("a", `"b"`), "the other voters, whose data is given up, are b, c, and recover_from.abandons names b"),
		served,
		w.asPlanned(t, from("a", `"b", "c"`), []string{"join b (192.0.2.12)", "promote c (192.0.2.13)"}, purpose(plan.PurposeRepair)),
		tftest.TestStep{ // A recover_from that stays in the configuration does nothing more.
			PreConfig: func() { w.put(t); w.Forget() },
			Config:    from("a", `"b", "c"`), ConfigPlanChecks: action(plancheck.ResourceActionNoop),
			Check: func(s *terraform.State) error { return errors.Join(w.untouched(s), w.allWell(s)) },
		},
		tftest.TestStep{Config: three(unprotected), Check: tftest.ComposeAggregateTestCheckFunc(w.untouched, w.allWell)},
	)
}

// TestRecoveryByANewerRelease recovers a cluster while keys are left out, by a release of the provider that carries a
// newer patch of etcd: that waits until the others have joined, unless the configuration asks for it.
func TestRecoveryByANewerRelease(t *testing.T) {
	w, id := newWorld(t), filepath.Join(t.TempDir(), "id")
	w.carry("3.7.2")
	from := func(more string) string {
		return three(fmt.Sprintf("%srecover_from = { member = \"a\", cluster_id = file(%q), abandons = [\"b\", \"c\"] }\n%s", unprotected, id, more))
	}
	keyless := func(config string) string {
		return strings.Replace(config, "etcd_pki.prod.authority", "{ peer = { certificate = etcd_pki.prod.authority.peer.certificate }, client = { certificate = etcd_pki.prod.authority.client.certificate } }", 1)
	}
	refused := tftest.TestStep{Config: keyless(from(fmt.Sprintf("version = %q\n", newest))), ExpectError: saysInOrder("A step waits until members have joined again", "a (192.0.2.11)", "etcd 3.7.2 -> "+newest)}
	refused.PreConfig = func() {
		w.Lasting = false
		w.carry(newest, "3.7.2")
		for last := 12; last <= 13; last++ {
			w.host(last).LoseData(dir)
		}
	}
	served := w.asPlanned(t, keyless(from("")), []string{"recover a (192.0.2.11)"}, purpose(plan.PurposeRecovery), meanwhile(func() {
		if text := w.warned(); !strings.Contains(text, "A step waits until members have joined again") {
			t.Errorf("the plan warns of %q", text)
		}
	}))
	served.Check, served.ConfigPlanChecks.PostApplyPostRefresh = values("status", "degraded"), nil
	served.ExpectError = regexp.MustCompile(`(?s)post-apply .*This plan needs the key of an authority.*join b .*join c `)
	w.run(t,
		tftest.TestStep{Config: three(unprotected), Check: func(s *terraform.State) error {
			return os.WriteFile(id, []byte(s.RootModule().Resources[cluster].Primary.Attributes["cluster_id"]), 0o600)
		}},
		refused,
		served,
		w.asPlanned(t, from(""), []string{"join b (192.0.2.12)", "promote c (192.0.2.13)", "roll a (192.0.2.11): etcd 3.7.2 -> " + newest}),
		tftest.TestStep{Config: three(unprotected), Check: w.allWell},
	)
}

// TestRecoveryThatIsUsedUp loses the quorum while the configuration still has a recover_from that was applied with a
// quorum. The refusal would advise what is there already, so the plan says that it is used up, and its remedy works.
func TestRecoveryThatIsUsedUp(t *testing.T) {
	w := newWorld(t)
	x := w.terminal(t)
	does := func(config, verb string, want int, says string) {
		t.Helper()
		write(t, filepath.Join(x.dir, "main.tf"), config, 0o600)
		args := map[string][]string{"plan": {"plan", "-no-color", "-detailed-exitcode"}, "apply": {"apply", "-no-color", "-auto-approve"}}[verb]
		if text, code := x.run(args...); code != want || !strings.Contains(strings.Join(strings.Fields(text), " "), says) {
			t.Fatalf("%s: exit code %d, and no %q in\n%s", verb, code, says, text)
		}
	}
	write(t, filepath.Join(x.dir, "main.tf"), three(unprotected), 0o600)
	x.must("init", "-no-color")
	does(three(unprotected), "apply", 0, "")
	from := three(fmt.Sprintf("%srecover_from = { member = \"a\", cluster_id = %q, abandons = [\"b\", \"c\"] }\n", unprotected, x.attributes("etcd_cluster")["cluster_id"]))
	does(from, "apply", 0, "recover_from does nothing")
	w.Lasting = false
	w.host(12).LoseData(dir)
	w.host(13).LoseData(dir)
	does(from, "plan", 1, "recover_from does nothing with etcd_cluster.prod")
	does(from, "plan", 1, "take recover_from out of the configuration and apply")
	w.Forget()
	does(three(unprotected), "apply", 0, "This plan repairs no member")
	if changes := w.changes(); len(changes) > 0 {
		t.Errorf("hosts were changed: %v", changes)
	}
	does(from, "plan", 2, "recover a (192.0.2.11): it alone is the cluster")
	does(from, "apply", 0, "This recovery overwrites the cluster")
	does(from, "plan", 0, "No changes")
}

// TestRecoveryThatMayLose has one of three members lose its data, and another crash on an unreadable log, which may
// have what the survivor lacks. A plan refuses to recover until the configuration names that member as lost.
func TestRecoveryThatMayLose(t *testing.T) {
	w, id := newWorld(t), filepath.Join(t.TempDir(), "id")
	from := func(more string) string {
		return three(fmt.Sprintf("%srecover_from = { member = \"a\", cluster_id = file(%q), abandons = [\"b\", \"c\"]%s }\n", unprotected, id, more))
	}
	refused := tftest.TestStep{Config: from(""), ExpectError: says("b (192.0.2.12) may have come further: its log cannot be read: a record does not have the checksum that it says")}
	refused.PreConfig = func() {
		w.Lasting = false
		w.host(12).Damage("prod", nodetest.Log)
		w.host(13).LoseData(dir)
		for range 3 {
			w.Tick()
		}
		w.Forget()
	}
	needless := tftest.TestStep{Config: from(`, loses = ["b", "c"]`), ExpectError: says("recover_from.loses names c, and nothing suggests that it has writes that a lacks")}
	w.run(t,
		tftest.TestStep{Config: three(unprotected), Check: func(s *terraform.State) error {
			return os.WriteFile(id, []byte(s.RootModule().Resources[cluster].Primary.Attributes["cluster_id"]), 0o600)
		}},
		refused,
		tftest.TestStep{Config: three(unprotected), ExpectError: says("b (192.0.2.12) is not ranked: its log cannot be read")},
		needless,
		w.asPlanned(t, from(`, loses = ["b"]`), []string{"b (log not read), c (no data) are given up, and join anew; writes that only they had are lost", "promote c (192.0.2.13)"}, purpose(plan.PurposeRecovery)),
		tftest.TestStep{Config: three(unprotected), Check: w.allWell},
	)
}

// TestRecoveryWithoutTheLost has two of three members lose power for good, as far as anybody can tell. The
// configuration gives them up by name: the recovery succeeds with a warning that they wait, and they join anew when
// they are back.
func TestRecoveryWithoutTheLost(t *testing.T) {
	w, id := newWorld(t), filepath.Join(t.TempDir(), "id")
	from := three(fmt.Sprintf("%srecover_from = { member = \"a\", cluster_id = file(%q), abandons = [\"b\", \"c\"] }\n", unprotected, id))
	w.run(t,
		tftest.TestStep{Config: three(unprotected), Check: func(s *terraform.State) error {
			w.put(t)
			return os.WriteFile(id, []byte(s.RootModule().Resources[cluster].Primary.Attributes["cluster_id"]), 0o600)
		}},
		tftest.TestStep{
			PreConfig: func() {
				w.Lasting = false
				w.host(12).PowerCut()
				w.host(13).PowerCut()
			},
			Config: three(unprotected), ExpectError: says("of those that were seen, a (192.0.2.11) has term 1, index"),
		},
		tftest.TestStep{
			Config: from, ExpectNonEmptyPlan: true,
			Check: func(*terraform.State) error {
				if lost := w.Lost("prod"); len(lost) > 0 {
					return fmt.Errorf("lost is %v", lost)
				}
				return w.Put("prod")
			},
		},
		tftest.TestStep{
			PreConfig: func() { w.host(12).PowerOn(); w.host(13).PowerOn() },
			Config:    from, Check: w.allWell,
		},
	)
}
