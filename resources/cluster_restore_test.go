package resources_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// past is a cluster that was saved, and then written to.
type past struct {
	*world
	t    *testing.T
	file string // its snapshot
	id   string // file that holds its cluster ID
}

// saved returns a cluster with a snapshot in a file, and the steps that a test begins with.
func saved(t *testing.T) (*past, []tftest.TestStep) {
	dir := t.TempDir()
	p := &past{newWorld(t), t, filepath.Join(dir, "prod.db"), filepath.Join(dir, "id")}
	return p, []tftest.TestStep{{
		Config: withSnapshot("file = %q", p.file),
		Check: func(s *terraform.State) error {
			p.put(t)
			p.Forget()
			p.steps()
			return os.WriteFile(p.id, []byte(s.RootModule().Resources[cluster].Primary.Attributes["cluster_id"]), 0o600)
		},
	}}
}

// restoring is a configuration that restores the file over the previous cluster.
func (p *past) restoring(members, more string) string {
	return of(members, unprotected+fmt.Sprintf("restore = {\nfile = %q\noverwrite_cluster_id = file(%q)\n%s}\n", p.file, p.id, more))
}

// hasMoved checks that the cluster is another one than the saved one.
func (p *past) hasMoved(s *terraform.State) error {
	was, err := os.ReadFile(p.id)
	if is := s.RootModule().Resources[cluster].Primary.Attributes["cluster_id"]; err == nil && is == string(was) {
		err = fmt.Errorf("cluster ID is %s, as before", is)
	}
	return err
}

// isAsBefore checks that the cluster is the saved one.
func (p *past) isAsBefore(s *terraform.State) error {
	if p.hasMoved(s) == nil {
		return errors.New("it is another cluster than before")
	}
	return nil
}

// restored is an apply of a restore that does what its plan has shown. Nothing is left to do then.
func (p *past) restored(config string, says ...string) tftest.TestStep {
	step := p.asPlanned(p.t, config, says, purpose(plan.PurposeRestore))
	step.Check = tftest.ComposeAggregateTestCheckFunc(step.Check, p.hasMoved)
	return step
}

// TestRestoreOverARunningCluster restores over the cluster that the configuration names, and then does nothing more.
func TestRestoreOverARunningCluster(t *testing.T) {
	p, steps := saved(t)
	p.run(t, append(steps,
		tftest.TestStep{
			Config:      three(unprotected + fmt.Sprintf("restore = { file = %q }\n", p.file)),
			ExpectError: says("a running cluster is on these hosts, and a restore discards all its data"),
		},
		tftest.TestStep{
			Config:      strings.Replace(p.restoring("a b c", ""), fmt.Sprintf("file(%q)", p.id), `"deadbeef"`, 1),
			ExpectError: says("overwrite_cluster_id names deadbeef"),
		},
		p.restored(p.restoring("a b c", ""), "fetch a (192.0.2.11): file "+p.file, "fence b", "restore c", "open a"),
		tftest.TestStep{
			PreConfig: func() { p.put(t); p.Forget() },
			Config:    p.restoring("a b c", ""), ConfigPlanChecks: action(plancheck.ResourceActionNoop),
			Check: p.untouched,
		},
		tftest.TestStep{Config: three(unprotected), Check: p.untouched}, // a missing file changes nothing
	)...)
}

// nothing is an apply that restores nothing, and whose plan says so.
func (p *past) nothing(config string) tftest.TestStep {
	return tftest.TestStep{
		PreConfig: func() { p.Forget(); p.warned() },
		Config:    config,
		ConfigPlanChecks: tftest.ConfigPlanChecks{
			PreApply: []plancheck.PlanCheck{planned(func(after, unknown map[string]any) error {
				if warned := p.warned(); !strings.Contains(warned, "Nothing is restored: This cluster was made from file "+p.file) {
					return fmt.Errorf("the plan does not say that nothing is restored:\n%s", warned)
				}
				if unknown["cluster_id"] == true || unknown["rollout"] == true || strings.Contains(fmt.Sprint(unknown["members"]), "true") {
					return fmt.Errorf("not known: %v", unknown)
				}
				return nil
			})},
			PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
		},
		Check: tftest.ComposeAggregateTestCheckFunc(p.untouched, p.hasMoved, p.allWell),
	}
}

// TestRestoreIsTidied edits the configuration of a completed restore: a checksum, the name of the cluster that was
// given up, a default written out. None of these restores again, or needs the snapshot to exist. Another checksum in
// the place of one restores again, and so does the name of the present cluster.
func TestRestoreIsTidied(t *testing.T) {
	p, steps := saved(t)
	some, other := fmt.Sprintf("sha256 = %q\n", strings.Repeat("a", 64)), fmt.Sprintf("sha256 = %q\n", strings.Repeat("b", 64))
	tidied := func(more string) string {
		return of("a b c", unprotected+fmt.Sprintf("restore = {\nfile = %q\n%s}\n", p.file, more))
	}
	p.run(t, append(steps,
		p.restored(p.restoring("a b c", ""), "open a"),
		tftest.TestStep{PreConfig: func() { _ = os.Rename(p.file, p.file+".kept") }, Config: p.restoring("a b c", ""), PlanOnly: true},
		p.nothing(p.restoring("a b c", "roll_back = false\ntriggers = {}\n")),
		p.nothing(p.restoring("a b c", some)),
		p.nothing(tidied(some)),
		tftest.TestStep{Config: tidied(other), ExpectError: says("This cannot be restored")},
		tftest.TestStep{PreConfig: func() { _ = os.Rename(p.file+".kept", p.file) }, Config: tidied(other), ExpectError: says("and should have bbbb")},
		tftest.TestStep{Config: tidied("triggers = { again = 1 }\n"), ExpectError: says("A running cluster would be overwritten")},
		p.nothing(tidied("")),
	)...)
}

// TestRestoreThatIsUsedUp loses the cluster again while the configuration still has the restore that made it. The
// refusal would advise what is there already, so the plan says that it is used up, and its remedy works.
func TestRestoreThatIsUsedUp(t *testing.T) {
	p, steps := saved(t)
	p.run(t, append(steps,
		p.restored(p.restoring("a b c", ""), "open a"),
		tftest.TestStep{
			PreConfig: func() {
				for last := 11; last <= 13; last++ {
					p.host(last).LoseData(dir)
				}
				p.warned()
			},
			Config: p.restoring("a b c", ""), ExpectError: says("The quorum is lost"),
		},
		tftest.TestStep{
			PreConfig: func() {
				if text := p.warned(); !strings.Contains(text, "restore does nothing: It is the same as at the last apply") {
					t.Errorf("the plan warns of %q", text)
				}
			},
			Config: p.restoring("a b c", "triggers = { again = 1 }\n"), Check: p.allWell,
		},
	)...)
}

// TestRestoreThatAStateDoesNotKnowOf has a configuration with the restore that made the cluster, and a state that does
// not know of it: the cluster was imported, or the restore was removed and is added again. The plan says that nothing
// is restored.
func TestRestoreThatAStateDoesNotKnowOf(t *testing.T) {
	p, steps := saved(t)
	config := p.restoring("a b c", "")
	forgotten := `
		resource "etcd_pki" "prod" { name = "prod" }
		removed {
			from = etcd_cluster.prod
			lifecycle { destroy = false }
		}`
	p.run(t, append(steps,
		p.restored(config, "open a"),
		tftest.TestStep{PreConfig: p.Forget, Config: three(unprotected), Check: p.untouched},
		p.nothing(config),
		tftest.TestStep{Config: forgotten},
		p.nothing(config+`
			import {
				to = etcd_cluster.prod
				id = "prod@192.0.2.11"
			}`),
	)...)
}

// TestRestoreThatARunCouldNotTellOf kills the provider once the restored cluster is open to clients and little is left
// to do: the next apply does the rest, and the state then has the restored cluster.
func TestRestoreThatARunCouldNotTellOf(t *testing.T) {
	p, steps := saved(t)
	p.run(t, append(steps,
		tftest.TestStep{
			PreConfig: func() {
				p.Inject(nodetest.Fault{Operation: api.OpSnapshot, Extent: nodetest.Run})
				p.dies = true
			},
			Config: p.restoring("a b c", ""), ExpectError: says("the connection was lost"),
		},
		tftest.TestStep{
			PreConfig: func() { p.Heal(); p.dies = false; p.steps() },
			Config:    p.restoring("a b c", ""),
			Check:     tftest.ComposeAggregateTestCheckFunc(p.hasMoved, p.allWell),
		},
	)...)
}

// TestRestoreElsewhere restores with another number of members, on other hosts, and on hosts that were wiped.
func TestRestoreElsewhere(t *testing.T) {
	for name, test := range map[string]struct {
		happen  func(*past)
		members string
		says    []string
	}{
		"three to five":    {func(*past) {}, "a b c d e", []string{"restore e (192.0.2.15)"}},
		"three to one":     {func(*past) {}, "a", []string{"fence c (192.0.2.13)", "retire c (192.0.2.13)"}},
		"into other hosts": {func(*past) {}, "a@21 b@22 c@23", []string{"fence a (192.0.2.11)", "restore a (192.0.2.21)", "retire a (192.0.2.11)"}},
		"over hosts that were wiped": {func(p *past) {
			for last := 11; last <= 13; last++ {
				p.host(last).Wipe()
			}
		}, "a b c", []string{"restore a (192.0.2.11)"}},
		"for hosts that are gone": {func(p *past) {
			for last := 11; last <= 13; last++ {
				p.host(last).Unreachable = errGone
			}
		}, "a@21 b@22 c@23", []string{"restore b (192.0.2.22)"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, steps := saved(t)
			restored := p.restored(p.restoring(test.members, ""), test.says...)
			restored.PreConfig = func() { test.happen(p); p.Forget(); p.steps() }
			p.run(t, append(steps, restored)...)
		})
	}
}

// TestRestoreAsANewCluster creates a cluster from a snapshot, and continues a create that was cut short.
func TestRestoreAsANewCluster(t *testing.T) {
	p, steps := saved(t)
	copied := withSnapshot("file = %q", p.file) + fmt.Sprintf(`
		resource "etcd_cluster" "copy" {
			name                = "copy"
			pki                 = etcd_pki.prod.authority
			members             = { a = { address = "192.0.2.21" } }
			deletion_protection = false
			restore             = { file = %q }
		}`, p.file)
	p.run(t, append(steps,
		tftest.TestStep{
			PreConfig: func() {
				p.Inject(nodetest.Fault{Address: "192.0.2.21", Operation: api.OpAdvance, Extent: nodetest.Session})
			},
			Config:      copied,
			ExpectError: says("was not formed"),
		},
		tftest.TestStep{
			PreConfig: p.Heal,
			Config:    copied,
			Check: tftest.ComposeAggregateTestCheckFunc(
				tftest.TestCheckResourceAttr("etcd_cluster.copy", "status", "healthy"),
				tftest.TestCheckResourceAttrWith("etcd_cluster.copy", "rollout.1", func(text string) error {
					if !strings.Contains(text, "fetch a (192.0.2.21)") {
						return fmt.Errorf("the second step is %q", text)
					}
					return nil
				}),
			),
		},
	)...)
}

// cutShort is a restore that fails once its members have started.
func (p *past) cutShort() tftest.TestStep {
	return tftest.TestStep{
		PreConfig:   func() { p.Inject(nodetest.Fault{Operation: api.OpAdvance, Extent: nodetest.Run}) },
		Config:      p.restoring("a b c", ""),
		ExpectError: says("apply again to go on"),
	}
}

// TestRestoreIsGoneOnWith has a restore fail half way: no other change is made then, and the next apply finishes the
// restore.
func TestRestoreIsGoneOnWith(t *testing.T) {
	p, steps := saved(t)
	p.run(t, append(steps, p.cutShort(),
		tftest.TestStep{PreConfig: p.Heal, Config: three(unprotected), ExpectError: says("put `restore` back into the configuration to finish it")},
		tftest.TestStep{Config: strings.Replace(p.restoring("a b c", ""), "/prod.db", "/./prod.db", 1), ExpectError: says("is under way since")},
		p.restored(p.restoring("a b c", ""), "open a"),
	)...)
}

// TestRestoreIsRolledBack has a restore fail half way, and rolls it back: everything that was written before is there.
func TestRestoreIsRolledBack(t *testing.T) {
	p, steps := saved(t)
	taken := p.asPlanned(t, p.restoring("a b c", "roll_back = true\n"), []string{"roll back b (192.0.2.12)", "start c (192.0.2.13)"}, purpose(plan.PurposeRestore))
	// A rollback signs nothing, so it needs no keys, and no clock prevents it.
	taken.Config = strings.Replace(taken.Config, "etcd_pki.prod.authority", "{ peer = { certificate = etcd_pki.prod.authority.peer.certificate }, client = { certificate = etcd_pki.prod.authority.client.certificate } }", 1)
	taken.PreConfig = func() { p.Heal(); p.Forget(); p.steps(); p.host(13).Skew = time.Hour }
	taken.Check = tftest.ComposeAggregateTestCheckFunc(taken.Check, p.isAsBefore)
	p.run(t, append(steps, p.cutShort(), taken,
		tftest.TestStep{PreConfig: func() { p.Forget(); p.host(13).Skew = 0 }, Config: three(unprotected), Check: p.untouched},
		// Once the restored cluster was opened, it cannot be rolled back.
		p.restored(p.restoring("a b c", ""), "open a"),
		tftest.TestStep{
			PreConfig:   p.Forget,
			Config:      p.restoring("a b c", "roll_back = true\n"),
			ExpectError: says("cannot be undone: clients may have read from its member and written to it"),
		},
		tftest.TestStep{Config: three(unprotected), Check: tftest.ComposeAggregateTestCheckFunc(p.untouched, p.hasMoved)},
	)...)
}

// TestRestoreRefusals holds what the plan refuses without touching a host, and what hosts refuse before any member is
// stopped.
func TestRestoreRefusals(t *testing.T) {
	p, steps := saved(t)
	short, damaged := filepath.Join(t.TempDir(), "short.db"), filepath.Join(t.TempDir(), "damaged.db")
	damage := func() { // a byte in the middle of the snapshot that was saved
		text, err := os.ReadFile(p.file)
		if err == nil {
			text[100] ^= 1
			err = os.WriteFile(damaged, text, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(short, []byte("too short"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := strings.Repeat("ab", 32)
	for _, test := range []struct{ restore, why string }{
		{`file = "nowhere.db"`, "nowhere.db is not there"},
		{fmt.Sprintf("file = %q", short), "it was cut off, or is no snapshot of etcd's"},
		{fmt.Sprintf("file = %q", damaged), "damaged.db is damaged: its SHA-256 is"},
		{fmt.Sprintf("file = %q\nsha256 = %q", p.file, sum), "and should have " + sum},
		{``, "set one of file, url, s3 and backup"},
		{fmt.Sprintf("file = %q\nurl = \"https://backups.example.com/prod.db\"", p.file), "restore names 2 places to take it from"},
		{`url = "https://backups.example.com/prod.db"`, "restore.url needs restore.sha256"},
		{"url = \"http://backups.example.com/prod.db\"\nsha256 = \"" + sum + `"`, "begins with https://"},
		{"url = \"https://backups.example.com/prod.db\"\nsha256 = \"abc\"", "must be a SHA-256: 64 hexadecimal digits"},
	} {
		steps = append(steps, tftest.TestStep{PreConfig: damage, PlanOnly: true, Config: three(unprotected + "restore = {\n" + test.restore + "\n}\n"), ExpectError: says(test.why)})
	}
	steps = append(steps,
		tftest.TestStep{ // Whole credentials reach the hosts, which find nothing there.
			Config: three(unprotected + fmt.Sprintf(`restore = {
				overwrite_cluster_id = file(%q)
				s3 = { endpoint = "https://s3.example.com", bucket = "backups", key = "prod.db", access_key_id = "saver", secret_access_key = "swordfish" }
			}`+"\n", p.id)),
			ExpectError: says("fetch a (192.0.2.11): object prod.db in bucket backups at https://s3.example.com, verified on the host: there is no snapshot at"),
		},
		tftest.TestStep{
			PreConfig:   func() { p.host(13).Unreachable = errGone },
			Config:      p.restoring("a b c", ""),
			ExpectError: says("its host cannot be reached, and a cluster is restored on all of its hosts or none"),
		},
		tftest.TestStep{PreConfig: func() { p.host(13).Unreachable = nil }, Config: three(unprotected), Check: tftest.ComposeAggregateTestCheckFunc(p.isAsBefore, p.allWell)},
	)
	p.run(t, steps...)
}

// TestRestoreThatAStateDoesNotKnowOfBesideAChange adds a completed restore again together with a change: the change is
// made, and nothing is restored or refused.
func TestRestoreThatAStateDoesNotKnowOfBesideAChange(t *testing.T) {
	for name, test := range map[string]struct {
		happen  func(*past)
		members string
		more    string
		says    []string
	}{
		"a member moves":           {func(*past) {}, "a b c@23", "", []string{"promote c (192.0.2.23)", "retire c (192.0.2.13)"}},
		"the cluster grows":        {func(*past) {}, "a b c d e", "", []string{"promote d (192.0.2.14)", "promote e (192.0.2.15)"}},
		"a dead member is moved":   {func(p *past) { p.host(13).PowerCut() }, "a b c@23", "", []string{"remove c (192.0.2.13)", "promote c (192.0.2.23)"}},
		"a member is stopped":      {func(p *past) { p.host(12).StopUnit("prod") }, "a b c", "", []string{"start b (192.0.2.12)"}},
		"a host was wiped":         {func(p *past) { p.host(12).Wipe() }, "a b c", "", []string{"remove b (192.0.2.12)", "promote b (192.0.2.12)"}},
		"a setting changes":        {func(*past) {}, "a b c", "settings = { snapshot_count = 5000 }\n", []string{"roll b (192.0.2.12)"}},
		"a member leaves its host": {func(p *past) {}, "a b d", "", []string{"promote d (192.0.2.14)", "retire c (192.0.2.13)"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, steps := saved(t)
			config := strings.Replace(p.restoring(test.members, ""), "restore = {", test.more+"restore = {", 1)
			change := p.asPlanned(t, config, test.says)
			change.PreConfig = func() { test.happen(p); p.Forget(); p.steps(); p.warned() }
			change.Check = tftest.ComposeAggregateTestCheckFunc(change.Check, func(s *terraform.State) error {
				for _, call := range p.Changes() {
					if call.Operation == api.OpRestore {
						return fmt.Errorf("%s was restored", call.Address)
					}
				}
				return nil
			})
			p.run(t, append(steps,
				p.restored(p.restoring("a b c", ""), "open a"),
				tftest.TestStep{Config: three(unprotected), Check: p.allWell}, // the state forgets the restore
				change)...)
		})
	}
}
