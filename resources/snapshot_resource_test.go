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

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

const snapshot = "etcd_snapshot.before"

// withSnapshot is a cluster, and a snapshot of it with these attributes.
func withSnapshot(says string, arguments ...any) string {
	return three(unprotected) + fmt.Sprintf(`
		resource "etcd_snapshot" "before" {
			cluster = { name = etcd_cluster.prod.name, owner = etcd_cluster.prod.owner, members = etcd_cluster.prod.members }
			`+says+`
		}`, arguments...)
}

// snapshotIs checks attributes of the snapshot, and the file that they describe.
func snapshotIs(file string, pairs ...string) tftest.TestCheckFunc {
	checks := []tftest.TestCheckFunc{tftest.TestCheckResourceAttr(snapshot, "status", "intact")}
	for i := 0; i < len(pairs); i += 2 {
		checks = append(checks, tftest.TestCheckResourceAttr(snapshot, pairs[i], pairs[i+1]))
	}
	checks = append(checks, func(s *terraform.State) error {
		attributes := s.RootModule().Resources[snapshot].Primary.Attributes
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if want := "snapshot " + attributes["revision"] + " "; !strings.Contains(string(text), want) {
			return fmt.Errorf("the file holds %q, which has no %q", text, want)
		}
		info, err := os.Stat(file)
		if err == nil && info.Mode().Perm() != 0o600 {
			err = fmt.Errorf("the file has mode %v", info.Mode())
		}
		return err
	})
	return tftest.ComposeAggregateTestCheckFunc(checks...)
}

// alone checks that nothing lies beside a file, such as a part of an unfinished one.
func alone(t *testing.T, file string, names ...string) tftest.TestCheckFunc {
	return func(*terraform.State) error {
		t.Helper()
		entries, err := os.ReadDir(filepath.Dir(file))
		if err != nil {
			return err
		}
		var got []string
		for _, entry := range entries {
			got = append(got, entry.Name())
		}
		if fmt.Sprint(got) != fmt.Sprint(names) {
			return fmt.Errorf("there are %v, and there should be %v", got, names)
		}
		return nil
	}
}

func TestSnapshotLife(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "prod.db")
	of := func(release string) string {
		return withSnapshot("file = %q\ntriggers = { release = %q }", file, release)
	}
	noop := tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(snapshot, plancheck.ResourceActionNoop)}}
	warned := func(words ...string) error {
		text := w.warned()
		for _, word := range words {
			if !strings.Contains(text, word) {
				return fmt.Errorf("what was warned of is %q, without %q", text, word)
			}
		}
		return nil
	}
	update := tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{plancheck.ExpectResourceAction(snapshot, plancheck.ResourceActionUpdate)}}
	w.run(t,
		// Member a leads.
		tftest.TestStep{Config: of("1"), Check: snapshotIs(file, "revision", "0", "etcd_version", "3.7.3", "member", "b")},
		tftest.TestStep{ // Nothing changes by itself, whatever is written.
			PreConfig: func() { w.put(t) },
			Config:    of("1"),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(snapshot, plancheck.ResourceActionNoop)}},
			Check: snapshotIs(file, "revision", "0"),
		},
		tftest.TestStep{ // Changes of the cluster change nothing either: the next snapshot uses the new routes.
			Config: strings.Replace(of("1"), "192.0.2.13", "192.0.2.21", 1),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction("etcd_cluster.prod", plancheck.ResourceActionUpdate),
				plancheck.ExpectResourceAction(snapshot, plancheck.ResourceActionNoop)}},
			Check: snapshotIs(file, "revision", "0"),
		},
		tftest.TestStep{Config: of("2"), ConfigPlanChecks: update, Check: tftest.ComposeAggregateTestCheckFunc(snapshotIs(file, "revision", "2"), alone(t, file, "prod.db"))},
		tftest.TestStep{ // A failed snapshot leaves the previous one, and nothing else.
			PreConfig: func() {
				w.Inject(nodetest.Fault{Operation: api.OpSave, After: true, Err: &api.Error{Code: api.CodeFailed, Message: "the disk is broken"}})
			},
			Config:      of("3"),
			ExpectError: says("the disk is broken What there was before is as it was"),
		},
		tftest.TestStep{
			PreConfig: w.Heal,
			Config:    of("2"),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(snapshot, plancheck.ResourceActionNoop)}},
			Check: tftest.ComposeAggregateTestCheckFunc(snapshotIs(file, "revision", "2"), alone(t, file, "prod.db")),
		},
		tftest.TestStep{
			// A file that is gone, or lies on another machine, makes no plan do anything.
			PreConfig: func() {
				w.put(t)
				if err := os.Rename(file, file+".away"); err != nil {
					t.Error(err)
				}
				w.warned()
			},
			Config: of("2"), ConfigPlanChecks: noop,
			Check: func(s *terraform.State) error {
				return errors.Join(warned("A snapshot is gone, or lies on another machine", "It held revision 2", "change triggers"),
					tftest.TestCheckResourceAttr(snapshot, "status", "missing")(s), alone(t, file, "prod.db.away")(s))
			},
		},
		tftest.TestStep{ // Another change of the resource does not look for it either.
			Config: strings.Replace(of("2"), "triggers", "timeouts = { update = \"5m\" }\ntriggers", 1),
			Check:  tftest.ComposeAggregateTestCheckFunc(tftest.TestCheckResourceAttr(snapshot, "status", "missing"), alone(t, file, "prod.db.away")),
		},
		tftest.TestStep{ // The machine with the file still has it.
			PreConfig: func() {
				if err := os.Rename(file+".away", file); err != nil {
					t.Error(err)
				}
			},
			Config: of("2"), Check: snapshotIs(file, "revision", "2"),
		},
		tftest.TestStep{ // Other triggers take another snapshot if there is no file.
			PreConfig: func() { mustRemove(t, file) },
			Config:    of("3"), ConfigPlanChecks: update, Check: snapshotIs(file, "revision", "3"),
		},
		tftest.TestStep{ // A file that has changed does not block other changes.
			PreConfig: func() {
				if err := os.WriteFile(file, []byte("something else"), 0o600); err != nil {
					t.Error(err)
				}
				w.host(13).StopUnit("prod")
				w.warned()
			},
			Config: of("3"),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				purposeOf{cluster, "repair"}, plancheck.ExpectResourceAction(snapshot, plancheck.ResourceActionNoop)}},
			Check: func(s *terraform.State) error {
				return errors.Join(warned("This is not the snapshot that was taken", "It is left as it is"),
					tftest.TestMatchResourceAttr(snapshot, "status", regexp.MustCompile("^it has 14 bytes"))(s))
			},
		},
		tftest.TestStep{Config: of("4"), ExpectError: says("It is not overwritten: move it away, and plan again")},
		tftest.TestStep{ // A file that has appeared since the plan is not overwritten either.
			PreConfig: func() { mustRemove(t, file) },
			Config:    of("4"), ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{meanwhile(func() {
				if err := os.WriteFile(file, []byte("something else"), 0o600); err != nil {
					t.Error(err)
				}
			})}},
			ExpectError: says("there is something there already: move it away"),
		},
		tftest.TestStep{ // Another path takes another snapshot, and the file at the old path stays.
			PreConfig: func() { w.warned() },
			Config:    withSnapshot("file = %q", file+".2"), ConfigPlanChecks: update,
			Check: tftest.ComposeAggregateTestCheckFunc(snapshotIs(file+".2", "revision", "3"), alone(t, file, "prod.db", "prod.db.2")),
		},
		tftest.TestStep{ // The destroy half of a replacement makes room, and keeps the file.
			Taint: []string{snapshot}, Config: withSnapshot("file = %q\npurge_data = true", file+".2"),
			Check: func(s *terraform.State) error {
				kept, err := filepath.Glob(file + ".2.3-*")
				if err == nil && len(kept) != 1 {
					err = fmt.Errorf("the one before lies in %v", kept)
				}
				return errors.Join(err, snapshotIs(file+".2")(s))
			},
		},
		tftest.TestStep{ // A destroy deletes the file if that is desired.
			Config: three(unprotected),
			Check: func(*terraform.State) error {
				if _, err := os.Stat(file + ".2"); !errors.Is(err, os.ErrNotExist) {
					return fmt.Errorf("the file is still there: %v", err)
				}
				return nil
			},
		},
	)
}

// TestSnapshotOverNothingElse holds that an existing file is never overwritten, and that a destroy without purge_data
// leaves the snapshot. A plan refuses each place where the apply could not write, before any host is changed.
func TestSnapshotOverNothingElse(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	file, mine, closed := filepath.Join(dir, "prod.db"), filepath.Join(dir, "mine.db"), filepath.Join(dir, "closed")
	if err := errors.Join(os.WriteFile(mine, []byte("mine"), 0o600), os.Symlink("nowhere", filepath.Join(dir, "link.db")), os.Mkdir(closed, 0o500)); err != nil {
		t.Fatal(err)
	}
	type place struct{ file, why string }
	refused := []place{
		{mine, "there is something there already: move it away, or choose another name"},
		{filepath.Join(dir, "link.db"), "there is something there already"},
		{dir, "there is something there already"},
		{filepath.Join(dir, strings.Repeat("a", 300)), "nobody can tell whether something is there already: lstat"},
		{filepath.Join(dir, "missing", "prod.db"), "its directory has to exist when this is planned"},
		{filepath.Join(mine, "prod.db"), "what should be its directory is none"},
	}
	if os.Geteuid() != 0 {
		refused = append(refused, place{filepath.Join(closed, "prod.db"), "no file can be written to its directory"})
	}
	still := func() {
		if err := w.untouched(nil); err != nil {
			t.Error(err)
		}
		if text := string(mustRead(t, mine)); text != "mine" {
			t.Errorf("it holds %q by now", text)
		}
	}
	var steps []tftest.TestStep
	refuse := func() {
		for _, p := range refused {
			steps = append(steps, tftest.TestStep{PreConfig: still, Config: withSnapshot("file = %q", p.file), ExpectError: saysInOrder("No snapshot can be written there", p.why)})
		}
	}
	refuse() // together with the cluster
	steps = append(steps,
		tftest.TestStep{PreConfig: still, Config: withSnapshot("file = %q", file), Check: tftest.ComposeAggregateTestCheckFunc(snapshotIs(file), func(*terraform.State) error {
			w.changes()
			return nil
		})})
	refuse() // as another path of the snapshot that there is
	steps = append(steps, tftest.TestStep{PreConfig: still, Config: withSnapshot("file = %q", file), Check: w.untouched},
		tftest.TestStep{Config: three(unprotected), Check: alone(t, file, "closed", "link.db", "mine.db", "prod.db")})
	w.run(t, steps...)
}

// TestSnapshotOfWhom holds that a snapshot is taken of a member that answers, and of a follower if there is one.
func TestSnapshotOfWhom(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "prod.db")
	of := func(trigger string) string { return withSnapshot("file = %q\ntriggers = { at = %q }", file, trigger) }
	w.run(t,
		tftest.TestStep{Config: of("1"), Check: snapshotIs(file, "member", "b")},
		tftest.TestStep{
			PreConfig: func() { w.host(12).Unreachable = errGone },
			Config:    of("2"), Check: snapshotIs(file, "member", "c"), ExpectNonEmptyPlan: true,
		},
		tftest.TestStep{PreConfig: func() { w.host(12).Unreachable = nil }, Config: of("2")},
	)
}

// TestSnapshotGoesOn has the connection end while a snapshot arrives: the same apply gets the rest of that one.
func TestSnapshotGoesOn(t *testing.T) {
	w, file := newWorld(t), filepath.Join(t.TempDir(), "prod.db")
	w.run(t,
		tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() { w.host(12).SendsPart = 100 },
			Config:    withSnapshot("file = %q", file),
			Check: tftest.ComposeAggregateTestCheckFunc(snapshotIs(file, "member", "b"), alone(t, file, "prod.db"), func(*terraform.State) error {
				if w.host(12).SendsPart != 0 {
					return errors.New("the connection did not end")
				}
				return nil
			}),
		},
	)
}

// TestSnapshotRefusals holds what is refused before any host is asked.
func TestSnapshotRefusals(t *testing.T) {
	const place = `endpoint = "https://s3.example.com", bucket = "backups", key = "prod.db"`
	for name, test := range map[string]struct{ config, why string }{
		"nowhere":           {"", "Exactly one of these attributes must be configured: [file,s3]"},
		"in two places":     {`file = "x.db"` + "\ns3 = {" + place + "}", "Exactly one of these attributes must be configured: [file,s3]"},
		"half a credential": {`s3 = {` + place + `, access_key_id = "AKIA" }`, "access_key_id and secret_access_key are given together"},
		"a bucket's URL":    {`s3 = { endpoint = "https://s3.example.com/backups", bucket = "backups", key = "prod.db" }`, `write it as "https://s3.example.com"`},
		"no URL":            {`s3 = { endpoint = "s3.example.com", bucket = "backups", key = "prod.db" }`, "this is no such address"},
		"no time at all":    {"file = \"x.db\"\ntimeouts = { create = \"0s\" }", "it is not positive"},
		"a secret in a URL": {`s3 = { endpoint = "https://key:SECRET@s3.example.com", bucket = "backups", key = "prod.db" }`, "credentials have attributes of their own"},
	} {
		t.Run(name, func(t *testing.T) {
			newWorld(t).run(t, tftest.TestStep{Config: strings.ReplaceAll(withSnapshot("%s", test.config), ", ", "\n"), ExpectError: says(test.why)})
		})
	}
}
