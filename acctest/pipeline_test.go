package acctest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
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

// TestRepairScript holds what the example for pipelines does about each answer of the CLI: only an update is applied
// with nobody watching, and a round that ends with 0 leaves nothing to do.
func TestRepairScript(t *testing.T) {
	const update, replacement = `{"change":{"actions":["update"]}}`, `{"change":{"actions":["delete","create"]}}`
	for name, round := range map[string]struct {
		plans   string // exit codes, in their order
		shown   string // the plan; empty: it cannot be shown
		applied string // exit code
		code    int
		asked   string
	}{
		"all is well":          {plans: "0", asked: "plan"},
		"mended":               {plans: "2 0", shown: update, applied: "0", asked: "plan show apply plan"},
		"a plan refused":       {plans: "1", code: 1, asked: "plan"},
		"a replacement":        {plans: "2", shown: replacement, code: 1, asked: "plan show"},
		"no look at the plan":  {plans: "2", code: 1, asked: "plan show"},
		"an apply that fails":  {plans: "2", shown: update, applied: "1", code: 1, asked: "plan show apply"},
		"a repair that waits":  {plans: "2 2", shown: update, applied: "0", code: 1, asked: "plan show apply plan"},
		"a refusal afterwards": {plans: "2 1", shown: update, applied: "0", code: 1, asked: "plan show apply plan"},
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
			if code != round.code {
				t.Errorf("exit code %d, want %d\n%s", code, round.code, output)
			}
			if asked := strings.Join(strings.Fields(w.read("asked")), " "); asked != round.asked {
				t.Errorf("asked for %q, want %q\n%s", asked, round.asked, output)
			}
		})
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
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	quick := fmt.Sprintf("user = \"root\"\n    private_key_file = %q\n    connect_timeout = \"3s\"", l.KeyFile())
	w := newWorkspace(t, l, configuration(t, l, setup{ssh: quick}))
	w.env = append(w.env, "TERRAFORM="+os.Getenv("ETCD_CLI"))
	w.apply()
	for _, round := range []struct {
		name   string
		happen func() error
		code   int
		says   string
	}{
		{"well", func() error { return nil }, 0, "No changes"},
		{"stopped", func() error { inHost(t, l.Host("b"), "systemctl", "stop", "etcd@prod"); return nil }, 0, "repair.sh: mended"},
		{"one away", l.Host("c").Cut, 1, "something is left that no apply can mend now"},
		{"two away", l.Host("b").Cut, 1, "the plan was refused"},
		{"back", func() error { return errors.Join(l.Host("b").Join(), l.Host("c").Join()) }, 0, ""},
	} {
		if err := round.happen(); err != nil {
			t.Fatal(err)
		}
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
