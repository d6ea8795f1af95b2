package acctest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// standIn takes the CLI's place: it ends as it is told, and keeps what it was asked for.
const standIn = `#!/bin/sh
echo "$1" >>asked
case $1 in
plan) code=$(head -n 1 plans) && sed -i 1d plans && exit "${code:-99}" ;;
show) cat shown; exit $? ;;
apply) exit "$(cat applied)" ;;
esac
exit 99
`

// TestRepairScript holds what the example for pipelines does about each answer of the CLI: only a repair is applied
// with nobody watching, and a round that ends with 0 leaves nothing to do.
func TestRepairScript(t *testing.T) {
	if _, err := exec.LookPath("jq"); err != nil && os.Getenv("ETCD_LAB_REQUIRED") == "" {
		t.Skip("jq, which the script takes, is not in PATH")
	}
	plan := func(changes ...string) string { return `{"resource_changes":[` + strings.Join(changes, ",") + `]}` }
	change := func(kind, actions, before, after string) string {
		return fmt.Sprintf(`{"address":"%s.prod","mode":"managed","type":"%[1]s","change":{"actions":[%s],"before":%s,"after":%s}}`, kind, actions, before, after)
	}
	of := func(purpose string) string {
		return change("etcd_cluster", `"update"`, `{"planned_change":"none"}`, fmt.Sprintf(`{"planned_change":%q,"note":"x: repair"}`, purpose))
	}
	const (
		update, due = `"update"`, `{"common_name":"app","renewal_due":"private_key_file cannot be used","serial_number":"1"}`
		cluster     = "the plan is more than a repair: nothing was applied"
	)
	still := change("etcd_pki", `"no-op"`, `{}`, `{}`)
	certificate := func(purpose string) string {
		return change("etcd_certificate", update, due, fmt.Sprintf(`{"common_name":"app","renewal_due":null,"planned_change":%q}`, purpose))
	}
	for name, round := range map[string]struct {
		plans   string // exit codes, in their order
		shown   string // the plan; empty: it cannot be shown
		applied string // exit code
		code    int
		asked   string
		says    string
	}{
		"all is well":          {plans: "0", asked: "plan"},
		"mended":               {plans: "2 0", shown: plan(still, of("repair")), applied: "0", asked: "plan show apply plan", says: "repair.sh: repaired"},
		"one of two clusters":  {plans: "2 2", shown: plan(of("repair"), of("none")), applied: "0", code: 1, asked: "plan show apply plan"},
		"a plan refused":       {plans: "1", code: 1, asked: "plan"},
		"no look at the plan":  {plans: "2", code: 1, asked: "plan show", says: "the plan cannot be read"},
		"a plan of nonsense":   {plans: "2", shown: "repair", code: 1, asked: "plan show", says: "the plan cannot be read"},
		"an apply that fails":  {plans: "2", shown: plan(of("repair")), applied: "1", code: 1, asked: "plan show apply"},
		"a repair that at":     {plans: "2 2", shown: plan(of("repair")), applied: "0", code: 1, asked: "plan show apply plan"},
		"a refusal afterwards": {plans: "2 1", shown: plan(of("repair")), applied: "0", code: 1, asked: "plan show apply plan"},
		"a host that is away":  {plans: "2", shown: plan(of("none")), code: 1, asked: "plan show", says: "no apply can repair now"},
		"outputs alone":        {plans: "2 0", shown: plan(still), applied: "0", asked: "plan show apply plan"},

		"a change":                      {plans: "2", shown: plan(of("change")), code: 1, asked: "plan show", says: cluster},
		"a change beside a repair":      {plans: "2", shown: plan(of("repair"), of("change")), code: 1, asked: "plan show", says: cluster},
		"a restore":                     {plans: "2", shown: plan(of("restore")), code: 1, asked: "plan show", says: cluster},
		"a recovery":                    {plans: "2", shown: plan(of("recovery")), code: 1, asked: "plan show", says: cluster},
		"steps that are not known":      {plans: "2", shown: plan(change("etcd_cluster", update, `{"planned_change":"repair"}`, `{}`)), code: 1, asked: "plan show", says: cluster},
		"a create":                      {plans: "2", shown: plan(change("etcd_cluster", `"create"`, `null`, `{"planned_change":"create"}`)), code: 1, asked: "plan show", says: cluster},
		"a destroy":                     {plans: "2", shown: plan(change("etcd_cluster", `"delete"`, `{"planned_change":"repair"}`, `null`)), code: 1, asked: "plan show", says: cluster},
		"a replacement":                 {plans: "2", shown: plan(change("etcd_cluster", `"delete","create"`, `{}`, `{"planned_change":"repair"}`)), code: 1, asked: "plan show", says: cluster},
		"another resource":              {plans: "2", shown: plan(of("repair"), change("terraform_data", update, `{}`, `{"planned_change":"repair"}`)), code: 1, asked: "plan show", says: cluster},
		"a certificate that expires":    {plans: "2 0", shown: plan(certificate("renewal")), applied: "0", asked: "plan show apply plan", says: "repair.sh: repaired"},
		"a certificate without a key":   {plans: "2", shown: plan(certificate("reissue")), code: 1, asked: "plan show", says: "etcd_certificate.prod: reissue\nrepair.sh: " + cluster},
		"and beside a repair":           {plans: "2", shown: plan(of("repair"), certificate("reissue")), code: 1, asked: "plan show", says: cluster},
		"a renewal that waits":          {plans: "2", shown: plan(certificate("none")), code: 1, asked: "plan show", says: "no apply can repair now"},
		"a certificate of another name": {plans: "2", shown: plan(certificate("change")), code: 1, asked: "plan show", says: cluster},
		"a certificate of who knows":    {plans: "2", shown: plan(change("etcd_certificate", update, due, `{"common_name":"app"}`)), code: 1, asked: "plan show", says: cluster},
		"a certificate that is made":    {plans: "2", shown: plan(change("etcd_certificate", `"create"`, `null`, `{"planned_change":"renewal"}`)), code: 1, asked: "plan show", says: cluster},
	} {
		t.Run(name, func(t *testing.T) {
			w := &workspace{t: t, dir: t.TempDir(), env: append(os.Environ(), "TERRAFORM=./terraform")}
			w.write("terraform", standIn)
			if err := os.Chmod(filepath.Join(w.dir, "terraform"), 0o700); err != nil {
				t.Fatal(err)
			}
			w.write("plans", strings.ReplaceAll(round.plans, " ", "\n")+"\n")
			if round.shown != "" {
				w.write("shown", round.shown)
			}
			w.write("applied", round.applied)
			output, code := w.repairScript()
			if code != round.code || !strings.Contains(output, round.says) {
				t.Errorf("exit code %d, want %d and %q\n%s", code, round.code, round.says, output)
			}
			if asked := strings.Join(strings.Fields(w.read("asked")), " "); asked != round.asked {
				t.Errorf("asked for %q, want %q\n%s", asked, round.asked, output)
			}
		})
	}
}

// slow takes the CLI's place, and takes its time.
const slow = `#!/bin/sh
for word; do
	case $word in -out=*) echo keys >"${word#-out=}" ;; esac
done
cat shown
touch "at-$1"
waited=0 # and is no burden where a test has failed
while [ ! -e "$1-ends" ] && [ $waited -lt 1500 ]; do sleep 0.02; waited=$((waited + 1)); done
case $1 in plan) exit 2 ;; esac
`

// TestRepairScriptCancelled holds that a job which is cancelled leaves no plan behind, whatever it is at and however
// its shell treats signals: it is gone while the CLI still runs, since a runner kills what does not end, and the CLI is
// let come to its end.
func TestRepairScriptCancelled(t *testing.T) {
	script, err := filepath.Abs(filepath.Join(examples, "pipeline", "repair.sh"))
	if err != nil {
		t.Fatal(err)
	}
	// Under nohup a shell would never hear of SIGHUP: what a program ignores its children ignore, unless it listens
	// itself.
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(told) })
	for _, shell := range []string{"sh", "dash", "bash", "busybox"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		for at, told := range map[string]os.Signal{"plan": syscall.SIGTERM, "show": syscall.SIGINT, "apply": syscall.SIGHUP} {
			t.Run(shell+" "+at, func(t *testing.T) {
				t.Parallel()
				w := &workspace{t: t, dir: t.TempDir()}
				w.env = append(os.Environ(), "TERRAFORM=./terraform", "TMPDIR="+filepath.Join(w.dir, "tmp"))
				if err := os.Mkdir(filepath.Join(w.dir, "tmp"), 0o700); err != nil {
					t.Fatal(err)
				}
				for name, text := range map[string]string{
					"terraform": slow, "plan-ends": "", "show-ends": "", "apply-ends": "",
					"shown": `{"resource_changes":[{"address":"etcd_cluster.prod","mode":"managed","type":"etcd_cluster","change":{"actions":["update"],"after":{"planned_change":"repair"}}}]}`,
				} {
					w.write(name, text)
				}
				if err := os.Chmod(filepath.Join(w.dir, "terraform"), 0o700); err != nil {
					t.Fatal(err)
				}
				ends := filepath.Join(w.dir, at+"-ends")
				if err := os.Remove(ends); err != nil {
					t.Fatal(err)
				}
				arguments := []string{shell, script}
				if shell == "busybox" {
					arguments = []string{shell, "sh", script}
				}
				command := exec.CommandContext(t.Context(), arguments[0], arguments[1:]...)
				command.Dir, command.Env = w.dir, w.env
				var said strings.Builder
				command.Stdout, command.Stderr = &said, &said
				if err := command.Start(); err != nil {
					t.Fatal(err)
				}
				within := func(what string, is func() bool) {
					t.Helper()
					for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
						if time.Now().After(end) {
							t.Fatalf("not within 20 s: %s\n%s", what, said.String())
						}
					}
				}
				there := func(name string) bool { _, err := os.Stat(filepath.Join(w.dir, name)); return err == nil }
				within("the CLI runs", func() bool { return there("at-" + at) })
				if err := command.Process.Signal(told); err != nil {
					t.Fatal(err)
				}
				within("the plan is gone", func() bool {
					left, err := filepath.Glob(filepath.Join(w.dir, "tmp", "tmp.*"))
					return err == nil && len(left) == 0
				})
				w.write(at+"-ends", "")
				if err := command.Wait(); command.ProcessState.ExitCode() == 0 {
					t.Errorf("a job that was cancelled ends well (%v):\n%s", err, said.String())
				}
				if next := map[string]string{"plan": "at-show", "show": "at-apply"}[at]; next != "" && there(next) {
					t.Errorf("it went on:\n%s", said.String())
				}
			})
		}
	}
}

// TestRepairScriptMakesNothing has the real CLI plan what the example is, of which nothing is there yet.
func TestRepairScriptMakesNothing(t *testing.T) {
	t.Parallel()
	handedOver(t, "ETCD_PROVIDER", "ETCD_CLI")
	w := emptyWorkspace(t, nil)
	w.env = append(w.env, "TERRAFORM="+os.Getenv("ETCD_CLI"), "TF_VAR_ssh_private_key="+privateKey(t), "TMPDIR="+w.dir)
	w.copyFrom(filepath.Join(examples, "pipeline"))
	w.write("unseen_override.tf", unseen(t, filepath.Join(examples, "pipeline")))
	w.must("init", "-no-color")
	output, code := w.repairScript()
	if code != 1 || !strings.Contains(output, "the plan is more than a repair: nothing was applied") {
		t.Errorf("exit code %d\n%s", code, output)
	}
	if left, err := filepath.Glob(filepath.Join(w.dir, "*", "*.tfplan")); err != nil || len(left) > 0 {
		t.Errorf("a plan, which holds keys, was left behind: %v %v", left, err)
	}
}

// TestRepairScriptMends plays the rounds of a pipeline on a real cluster: what can be mended is, a host that is away
// is somebody's business, and so is a lost quorum.
func TestRepairScriptMends(t *testing.T) {
	sample.Leave(t, "TestRepairScript has all that the script does, and TestDriftIsMended and TestDeadHosts repair booted hosts")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	quick := fmt.Sprintf("user = \"root\"\n    private_key_file = %q\n    connect_timeout = \"3s\"", l.KeyFile())
	w := newWorkspace(t, l, configuration(t, l, setup{ssh: quick}))
	w.env = append(w.env, "TERRAFORM="+os.Getenv("ETCD_CLI"))
	w.write("files.tf", snapshotOf+`
resource "etcd_certificate" "operator" {
  pki              = etcd_pki.prod.authority
  common_name      = "operator"
  private_key_file = "operator.key"
}
`)
	w.apply()
	file := func(name string) string { return filepath.Join(w.dir, name) }
	asIs := setup{ssh: quick}
	describing := func(cluster string) setup { return setup{ssh: quick, cluster: cluster} }
	nothing := func() error { return nil }
	stopped := func() error { inHost(t, l.Host("b"), "systemctl", "stop", "etcd@prod"); return nil }
	const cluster = "etcd_cluster.prod: change\nrepair.sh: the plan is more than a repair: nothing was applied"
	for _, round := range []struct {
		name   string
		happen func() error
		setup  setup
		code   int
		says   string
	}{
		{"well", nothing, asIs, 0, "No changes"},
		{"stopped", stopped, asIs, 0, "repair.sh: repaired"},
		{"on a machine without the files", func() error {
			return errors.Join(stopped(), os.Rename(file("operator.key"), file("key.away")), os.Rename(file("prod.db"), file("db.away")))
		}, asIs, 1, "etcd_certificate.operator: reissue\netcd_cluster.prod: repair\nrepair.sh: the plan is more than a repair: nothing was applied"},
		{"without the snapshot alone", func() error {
			if _, err := os.Stat(file("operator.key")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a key was made: %v", err)
			}
			return os.Rename(file("key.away"), file("operator.key"))
		}, asIs, 0, "repair.sh: repaired"},
		{"with another snapshot", func() error {
			return errors.Join(stopped(), os.WriteFile(file("prod.db"), []byte("something else"), 0o600))
		}, asIs, 0, "repair.sh: repaired"},
		{"a setting beside a repair", stopped, describing("settings = { snapshot_count = 5000 }"), 1, cluster},
		{"the setting undone", nothing, asIs, 0, "repair.sh: repaired"},
		{"another version", nothing, describing(`version = "3.6"`), 1, cluster},
		{"a member taken out", nothing, setup{ssh: quick, at: on("a")}, 1, cluster},
		{"no protection", nothing, describing("purge_data = true"), 1, cluster},
		{"wiped", func() error { return l.Host("b").Wipe(t.Context()) }, asIs, 0, "repair.sh: repaired"},
		{"one away", l.Host("c").Cut, asIs, 1, "something is left that no apply can repair now"},
		{"two away", l.Host("b").Cut, asIs, 1, "the plan was refused"},
		{"back", func() error { return errors.Join(l.Host("b").Join(), l.Host("c").Join()) }, asIs, 0, ""},
	} {
		if err := round.happen(); err != nil {
			t.Fatal(err)
		}
		w.write("main.tf", configuration(t, l, round.setup))
		output, code := w.repairScript()
		if code != round.code || !strings.Contains(output, round.says) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s", round.name, code, round.code, round.says, output)
		}
	}
	w.mustBeSettled()
}

// repairScript runs one round of the example for pipelines.
func (w *workspace) repairScript() (output string, code int) {
	w.t.Helper()
	script, err := filepath.Abs(filepath.Join(examples, "pipeline", "repair.sh"))
	if err != nil {
		w.t.Fatal(err)
	}
	start := exec.CommandContext
	if w.lab != nil {
		start = w.lab.Command
	}
	command := start(w.t.Context(), "sh", script)
	command.Dir, command.Env = w.dir, w.env
	said, err := command.CombinedOutput()
	if command.ProcessState == nil {
		w.t.Fatal(err)
	}
	return string(said), command.ProcessState.ExitCode()
}
