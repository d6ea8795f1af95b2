package resources_test

import (
	"encoding/json"
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
)

// backedUp is a backup to a bucket, with a secret.
func backedUp(secret, more string) string {
	return fmt.Sprintf(`backup = {
		s3 = { endpoint = "https://s3.example.com", bucket = "b", prefix = "etcd", access_key_id = "saver", secret_access_key = %q }
		%s
	}
	`, secret, more)
}

// runNow has a host run a backup or a rehearsal, whatever the result.
func (w *world) runNow(t *testing.T, last int, rehearsal bool) {
	t.Helper()
	body, err := json.Marshal(api.RunNowRequest{Owner: w.host(last).Marker("prod").Owner, Rehearsal: rehearsal, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	request := api.Request{Version: api.Version, Operation: api.OpRunNow, Cluster: "prod", Target: &api.Target{For: w.host(last).Marker("prod").Member}, Body: body}
	// The host's record has the result of the run.
	var refusal *api.Error
	if err := w.host(last).Call(t.Context(), w.Stores["amd64"], request, &api.BackupStatus{}); errors.As(err, &refusal) && refusal.Code == api.CodeRefused {
		t.Fatal(err)
	}
}

// TestBackupsFollowTheirConfiguration holds that hosts back the cluster up from its create on, by the present
// configuration and its secret and whichever members there are, until the configuration has no backup.
func TestBackupsFollowTheirConfiguration(t *testing.T) {
	w := newWorld(t)
	config := func(members, secret, more string) string { return of(members, unprotected+backedUp(secret, more)) }
	first := w.begun(t, config("a b c", "one", ""))
	first.ConfigPlanChecks = tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{planned(func(after, _ map[string]any) error {
		steps := texts(after["rollout"])
		if last := steps[len(steps)-1]; !strings.HasPrefix(last, "back up: hourly to bucket b at https://s3.example.com, in the clear, rehearsed weekly (settings ") || !strings.HasSuffix(last, "by a, b, c") {
			return fmt.Errorf("the last step is %q", last)
		}
		return nil
	})}, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	stopped := w.asPlanned(t, config("a b c", "two", "schedule = \"daily\""), []string{"back up: daily to", "by b"}, changed(drift{
		health: "healthy", drift: "its backups are switched off: a timer does not run", status: "healthy"}.shows))
	stopped.PreConfig = func() { w.Forget(); w.host(12).StopBackups("prod") }
	again := w.asPlanned(t, config("a b c", "two", "schedule = \"daily\""), []string{"by b"})
	again.PreConfig = stopped.PreConfig // the same repair as before
	older := w.asPlanned(t, config("a b c", "two", "schedule = \"daily\""), []string{"back up: daily to", "by b"}, changed(drift{
		health: "healthy", drift: "the units of its backups are not as this version of the provider writes them", status: "healthy"}.shows))
	older.PreConfig = func() { w.Forget(); w.host(12).RunsByOldUnits("prod") }
	w.run(t, first,
		w.asPlanned(t, config("a b c", "one", "schedule = \"daily\""), []string{"back up: daily to", "by a, b, c"}),
		// Nothing but the secret changes.
		w.asPlanned(t, config("a b c", "two", "schedule = \"daily\""), []string{"back up: daily to", "by a, b, c"}),
		stopped, again, older,
		w.asPlanned(t, config("a b@21 c", "two", "schedule = \"daily\""), []string{"retire b (192.0.2.12)", "by b"}),
		tftest.TestStep{Config: config("a b@21 c", "two", "schedule = \"daily\""), PlanOnly: true, PreConfig: func() {
			for _, last := range []int{11, 21, 13} {
				w.runNow(t, last, false)
			}
			if left := w.host(12).Leftovers("prod", dir); len(left) > 0 {
				t.Errorf("the host that was left has %v", left)
			}
		}},
		w.asPlanned(t, of("a b@21 c", unprotected), []string{"back up: disabled on a, b, c; stored backups stay"}),
	)
}

// TestBackupsAreWatched holds that a plan warns of failed backups, by the newest run of all members, and that the state
// shows the status of backups.
func TestBackupsAreWatched(t *testing.T) {
	w := newWorld(t)
	config := three(unprotected + backedUp("one", ""))
	look := func(happen func(), warns string, pairs ...string) tftest.TestStep {
		return tftest.TestStep{RefreshState: true, PreConfig: func() {
			w.warned()
			w.Clock = w.Clock.Add(time.Minute)
			happen()
		}, Check: tftest.ComposeAggregateTestCheckFunc(values(pairs...), func(*terraform.State) error {
			said := w.warned()
			if warns == "" && said != "" || !strings.Contains(said, warns) {
				return fmt.Errorf("it warns of %q, want %q", said, warns)
			}
			return nil
		})}
	}
	w.run(t, w.begun(t, config),
		look(func() {}, "", "backup_status.%", "11"),
		look(func() { w.runNow(t, 11, false); w.host(12).BackupFails = "no such bucket" }, "", "backup_status.revision", "2"),
		look(func() { w.runNow(t, 12, false) }, "no such bucket", "backup_status.error", "no such bucket"),
		look(func() { w.runNow(t, 13, false) }, ""),
		look(func() { w.Clock = w.Clock.Add(2 * time.Hour) }, ""),
		// No backup has failed.
		look(func() { w.Clock = w.Clock.Add(time.Hour) }, "Backups of cluster prod are overdue"),
		look(func() { w.runNow(t, 11, false) }, ""),
		look(func() { w.runNow(t, 13, true) }, "", "backup_status.behind_revisions", "0", "backup_status.checksums_only", "false"),
		look(func() { w.host(12).RehearsalFails = "it is damaged"; w.runNow(t, 12, true) }, "it is damaged", "backup_status.rehearsal_error", "it is damaged"),
		look(func() { w.runNow(t, 13, true); w.Clock = w.Clock.Add(9 * 24 * time.Hour) }, "is stale"),
	)
}

// TestBackupsAreOverdueByTheirOwnSchedule holds that a shorter schedule does not count for the time before it came into
// force, and that another change of the backup extends no deadline.
func TestBackupsAreOverdueByTheirOwnSchedule(t *testing.T) {
	w := newWorld(t)
	config := func(secret, schedule string) string {
		return three(unprotected + backedUp(secret, fmt.Sprintf("schedule = %q", schedule)))
	}
	at := func(config string, later time.Duration, overdue bool) tftest.TestStep {
		return tftest.TestStep{Config: config, PreConfig: func() { w.Clock = w.Clock.Add(later) }, Check: func(*terraform.State) error {
			if said := w.warned(); strings.Contains(said, "are overdue") != overdue {
				return fmt.Errorf("it warns of %q", said)
			}
			return nil
		}}
	}
	look := func(later time.Duration, overdue bool) tftest.TestStep {
		step := at("", later, overdue)
		step.RefreshState = true
		return step
	}
	w.run(t, w.begun(t, config("one", "daily")),
		tftest.TestStep{RefreshState: true, PreConfig: func() { w.runNow(t, 11, false) }},
		at(config("one", "hourly"), 20*time.Hour, false),
		look(time.Minute, false),
		at(config("two", "hourly"), 2*time.Hour, false),
		look(13*time.Minute, false),
		look(2*time.Minute, true),
	)
}

// TestBackupsAfterARestore holds that hosts which are new to a restored cluster back it up without a further apply, and
// stop when another restore has no backup configured.
func TestBackupsAfterARestore(t *testing.T) {
	p, steps := saved(t)
	again := &past{p.world, t, p.file, p.id + "-of-the-restored"}
	with := strings.Replace(p.restoring("a b c d@21 e@22", ""), "restore =", backedUp("one", "")+"restore =", 1)
	listed := with + `
		data "etcd_backups" "prod" {
			cluster = { name = etcd_cluster.prod.name, owner = etcd_cluster.prod.owner, members = etcd_cluster.prod.members }
		}`
	p.run(t, append(steps, p.restored(with, "open e (192.0.2.22)"), tftest.TestStep{Config: listed, Check: tftest.ComposeAggregateTestCheckFunc(
		// The backup of the restored cluster is made at once.
		tftest.TestCheckResourceAttr("data.etcd_backups.prod", "backups.#", "1"),
		tftest.TestCheckResourceAttrPair("data.etcd_backups.prod", "backups.0.cluster_id", cluster, "cluster_id"),
	)}, tftest.TestStep{Config: with, PlanOnly: true, PreConfig: func() {
		for _, last := range []int{11, 12, 13, 21, 22} {
			p.runNow(t, last, false)
		}
	}}, tftest.TestStep{RefreshState: true, Check: func(s *terraform.State) error {
		return os.WriteFile(again.id, []byte(s.RootModule().Resources[cluster].Primary.Attributes["cluster_id"]), 0o600)
	}}, again.restored(again.restoring("a b c d@21 e@22", ""), "open e (192.0.2.22)"))...)
}

// TestRestoreOfTheLatestBackup has every host wiped: the configuration says where the backups are.
func TestRestoreOfTheLatestBackup(t *testing.T) {
	p := &past{world: newWorld(t), t: t}
	config := three(unprotected + backedUp("one", ""))
	restoring := func(name string) string {
		return three(unprotected + backedUp("one", "") + fmt.Sprintf("restore = { backup = %q }\n", name))
	}
	p.run(t, p.begun(t, config),
		tftest.TestStep{PreConfig: func() {
			p.runNow(t, 11, false)
			p.Clock = p.Clock.Add(time.Hour)
			p.put(t)
			p.runNow(t, 13, false)
			for _, last := range []int{11, 12, 13} {
				p.host(last).Wipe()
			}
			p.Forget()
		}, Config: restoring("no-such-backup"), ExpectError: says(`there is no backup "no-such-backup"`)},
		p.asPlanned(t, restoring("latest"), []string{"fetch a (192.0.2.11): backup latest, verified on the host"}),
		tftest.TestStep{Config: three(unprotected + "restore = { backup = \"latest\" }\n"), PlanOnly: true, ExpectError: says("restore.backup needs backup")},
		tftest.TestStep{Config: restoring("../x"), PlanOnly: true, ExpectError: says("must be the name of a backup")},
		tftest.TestStep{Config: config},
	)
}

// TestRestoreOfABackupOnAHost holds that a backup in a directory of one host, desired or not, is sent to the hosts
// without it. The latest backup is known once all hosts with backups were read.
func TestRestoreOfABackupOnAHost(t *testing.T) {
	const backup = "backup = { directory = \"/srv/backups\" }\n"
	p := &past{newWorld(t), t, "", filepath.Join(t.TempDir(), "id")}
	restoring := func(name, members string) string {
		return of(members, unprotected+backup+fmt.Sprintf("restore = {\nbackup = %q\noverwrite_cluster_id = file(%q)\n}\n", name, p.id))
	}
	p.run(t, tftest.TestStep{Config: three(unprotected + backup), Check: func(s *terraform.State) error {
		p.runNow(t, 11, false)
		p.Clock = p.Clock.Add(time.Hour)
		p.put(t)
		p.runNow(t, 13, false)
		p.put(t)
		p.Forget()
		p.steps()
		return os.WriteFile(p.id, []byte(s.RootModule().Resources[cluster].Primary.Attributes["cluster_id"]), 0o600)
	}},
		tftest.TestStep{Config: restoring("no-such-backup", "a b c"), ExpectError: says(`no host has a backup "no-such-backup" of cluster prod`)},
		tftest.TestStep{
			PreConfig: func() { p.Inject(nodetest.Fault{Address: p.host(12).Address, Operation: api.OpBackups}) },
			Config:    restoring("latest", "a b c"), ExpectError: says("it is not known which backup is the latest"),
		},
		tftest.TestStep{PreConfig: p.Heal, Config: three(unprotected + backup), PlanOnly: true},
		p.restored(restoring("latest", "a b c@21"), "fetch c (192.0.2.21): backup latest, verified on the host", "retire c (192.0.2.13)"),
	)
}

// TestRestoreOfABackupThatNoHostKnows holds that hosts which were given up know nothing of the backups in their
// directories. The plan says so for a destroyed cluster and for wiped hosts. A plan that may not observe hosts leaves
// this to the apply, which changes nothing.
func TestRestoreOfABackupThatNoHostKnows(t *testing.T) {
	const backup = "backup = { directory = \"/srv/backups\" }\n"
	w := newWorld(t)
	restoring := func(more string) string {
		return three(unprotected + backup + "restore = { backup = \"latest\" }\n" + more)
	}
	refused := []string{"no reachable host knows of backups of this cluster: a (192.0.2.11), b (192.0.2.12), c (192.0.2.13)", "name it by restore.file"}
	w.run(t, tftest.TestStep{Config: three(unprotected + backup), Check: func(*terraform.State) error {
		w.runNow(t, 11, false)
		return nil
	}},
		tftest.TestStep{Config: three(unprotected + backup), Destroy: true},
		tftest.TestStep{PreConfig: w.Forget, Config: restoring(""), ExpectError: saysInOrder(refused...)},
		tftest.TestStep{Config: restoring("preflight_at_plan = false\n"), ExpectError: saysApply(refused...)},
		tftest.TestStep{PreConfig: func() {
			if changes := w.changes(); len(changes) > 0 {
				t.Errorf("hosts were changed: %v", changes)
			}
		}, Config: three(unprotected + backup)},
		tftest.TestStep{PreConfig: func() {
			for _, last := range []int{11, 12, 13} {
				w.host(last).Wipe()
			}
			w.Forget()
		}, Config: restoring(""), ExpectError: saysInOrder(refused...)},
	)
}

// TestBackupThatCannotBe holds that an impossible backup is refused before any host is asked.
func TestBackupThatCannotBe(t *testing.T) {
	const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
	var steps []tftest.TestStep
	for _, bad := range [][2]string{
		{`backup = {}`, "The backup has no destination"},
		{`backup = { directory = "/srv/b", schedule = "each;day" }`, "calendar event"},
		{`backup = { directory = "srv/b" }`, "absolute path"},
		{`backup = { directory = "/srv/b", recipients = ["AGE-SECRET-KEY-1"] }`, "must be a public key of age"},
		{`backup = { directory = "/srv/b", keep = { verified = 3 } }`, "No backup is kept"},
		{`backup = { directory = "/srv/b", keep = { last = 3, verified = 3 }, recipients = ["` + recipient + `"] }`, "No backup is ever verified"},
		{`backup = { directory = "/var/lib/etcd" }`, `backup.directory is "/var/lib/etcd", which lies in /var/lib/etcd/prod`},
		{`backup = { directory = "/var/lib/etcd/prod/backups" }`, "Choose a directory apart"},
		{`backup = { directory = "/var/lib/etcd/prod.backup" }`, "/var/lib/etcd/prod.backup"},
		{`backup = { directory = "/var/lib/etcd/prod.snapshots/b" }`, "/var/lib/etcd/prod.snapshots"},
		{"data_dir = \"/data/etcd\"\n" + `backup = { directory = "/data/etcd.aside-old" }`, "/data/etcd.aside-"},
		{`backup = { directory = "/srv/b", metrics_directory = "/var/lib" }`, "backup.metrics_directory"},
		{`backup = { s3 = { endpoint = "https://s3.example.com", bucket = "b", prefix = "k", access_key_id = "half" } }`, "The credentials are incomplete"},
	} {
		steps = append(steps, tftest.TestStep{Config: three(unprotected + bad[0] + "\n"), PlanOnly: true, ExpectError: says(bad[1])})
	}
	newWorld(t).run(t, steps...)
}

// TestBackupSecretsAreNotKept holds that no state, plan or log has the secrets that backups are encrypted or stored
// with.
func TestBackupSecretsAreNotKept(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TF_ACC_TEMP_DIR", dir)
	w := newWorld(t)
	w.alone = true
	const identity = "AGE-SECRET-KEY-1SWORDFISH"
	config := three(unprotected + backedUp("swordfish", fmt.Sprintf("rehearsal = { identity = %q }", identity)))
	scan := func() error {
		found := false
		for file, content := range filesIn(t, dir) {
			if strings.HasSuffix(file, ".tf") {
				continue
			}
			found = found || filepath.Base(file) == "terraform.tfstate"
			if strings.Contains(strings.ToLower(string(content)), "swordfish") {
				return fmt.Errorf("%s has a secret", file)
			}
		}
		if !found {
			return fmt.Errorf("no state was looked at: %w", os.ErrNotExist)
		}
		return nil
	}
	w.run(t, tftest.TestStep{Config: config, Check: func(*terraform.State) error {
		for _, kept := range w.privately() {
			if strings.Contains(strings.ToLower(unpacked(t, kept)), "swordfish") {
				return fmt.Errorf("private state has a secret")
			}
		}
		return scan()
	}}, tftest.TestStep{PreConfig: func() { w.host(11).StopBackups("prod") }, Config: config, Check: func(*terraform.State) error { return scan() }})
}
