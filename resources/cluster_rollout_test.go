package resources_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

var update = flag.Bool("update", false, "write golden files anew")

// terminal is a working directory for commands of the real CLI. The provider runs in this process, with simulated
// hosts.
type terminal struct {
	t   *testing.T
	dir string
	env []string
}

// terminal opens one.
func (w *world) terminal(t *testing.T) *terminal {
	t.Helper()
	return w.terminalOf(t, w)
}

// terminalOf opens one for another provider.
func (*world) terminalOf(t *testing.T, face provider.Provider) *terminal {
	t.Helper()
	cli := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if cli == "" {
		t.Skip("neither terraform nor tofu is in PATH: install one, or run `make tofu`")
	}
	registry := "registry.terraform.io"
	if host := os.Getenv("TF_ACC_PROVIDER_HOST"); host != "" {
		registry = host
	}
	address := registry + "/hashicorp/etcd"
	reattach, closed, ended := make(chan *goplugin.ReattachConfig, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- tf6server.Serve(address, func() tfprotov6.ProviderServer { return providerserver.NewProtocol6(face)() },
			tf6server.WithDebug(t.Context(), reattach, closed), tf6server.WithoutLogStderrOverride())
	}()
	served := <-reattach
	t.Cleanup(func() { <-closed; <-ended })
	providers, err := json.Marshal(map[string]any{address: map[string]any{
		"Protocol": served.Protocol, "ProtocolVersion": served.ProtocolVersion, "Pid": served.Pid, "Test": served.Test,
		"Addr": map[string]string{"Network": served.Addr.Network(), "String": served.Addr.String()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return &terminal{t, t.TempDir(), append(os.Environ(), "TF_REATTACH_PROVIDERS="+string(providers), "CHECKPOINT_DISABLE=1")}
}

// run runs one command of the CLI.
func (x *terminal) run(args ...string) (output string, code int) {
	x.t.Helper()
	command := exec.CommandContext(x.t.Context(), os.Getenv("TF_ACC_TERRAFORM_PATH"), args...)
	command.Dir, command.Env = x.dir, x.env
	text, err := command.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		x.t.Fatal(err)
	}
	return string(text), command.ProcessState.ExitCode()
}

// must runs a command that has to succeed.
func (x *terminal) must(args ...string) string {
	x.t.Helper()
	text, code := x.run(args...)
	if code != 0 {
		x.t.Fatalf("%s: %d\n%s", strings.Join(args, " "), code, text)
	}
	return text
}

// plan returns what a plan shows of the cluster, and its exit code, and saves the plan.
func (x *terminal) plan(config string, args ...string) string {
	x.t.Helper()
	if err := os.WriteFile(filepath.Join(x.dir, "main.tf"), []byte(config), 0o600); err != nil {
		x.t.Fatal(err)
	}
	text, code := x.run(append([]string{"plan", "-no-color", "-detailed-exitcode", "-out=saved.tfplan"}, args...)...)
	if code == 1 {
		x.t.Fatal(text)
	}
	shown := block.FindString(text)
	for _, volatile := range volatiles {
		shown = volatile.ReplaceAllString(shown, `"..."`)
	}
	return fmt.Sprintf("exit code %d\n%s", code, shown)
}

// done returns what the state says of completed steps.
func (x *terminal) done() string {
	x.t.Helper()
	var text strings.Builder
	for _, r := range x.stored()["resources"].([]any) {
		if r := r.(map[string]any); r["type"] == "etcd_cluster" {
			attributes := r["instances"].([]any)[0].(map[string]any)["attributes"].(map[string]any)
			for _, name := range []string{"rollout", "last_rollout"} {
				fmt.Fprintf(&text, "%s:\n", name)
				for _, step := range texts(attributes[name]) {
					fmt.Fprintf(&text, "  %s\n", step)
				}
			}
			fmt.Fprintf(&text, "planned_change: %v\n", attributes["planned_change"])
		}
	}
	return text.String()
}

// clusterID returns the cluster's ID, as its state has it.
func (x *terminal) clusterID() (id string) {
	x.t.Helper()
	x.rewrite(func(kind string, instance map[string]any) {
		if kind == "etcd_cluster" {
			id, _ = instance["attributes"].(map[string]any)["cluster_id"].(string)
		}
	})
	return id
}

// stored returns the state in its file.
func (x *terminal) stored() (file map[string]any) {
	x.t.Helper()
	text, err := os.ReadFile(filepath.Join(x.dir, "terraform.tfstate"))
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		x.t.Fatal(err)
	}
	return file
}

// age makes the state like that of a provider without last_rollout and the attributes after it.
func (x *terminal) age() {
	x.t.Helper()
	x.rewrite(func(_ string, instance map[string]any) {
		attributes := instance["attributes"].(map[string]any)
		delete(attributes, "last_rollout")
		delete(attributes, "planned_change")
	})
}

// rewrite edits the first instance of every resource in the state's file.
func (x *terminal) rewrite(edit func(kind string, instance map[string]any)) {
	x.t.Helper()
	file := x.stored()
	for _, r := range file["resources"].([]any) {
		r := r.(map[string]any)
		edit(r["type"].(string), r["instances"].([]any)[0].(map[string]any))
	}
	text, err := json.Marshal(file)
	if err == nil {
		err = os.WriteFile(filepath.Join(x.dir, "terraform.tfstate"), text, 0o600)
	}
	if err != nil {
		x.t.Fatal(err)
	}
}

// block returns what a plan says of the cluster.
var block = regexp.MustCompile(`(?ms)^  # etcd_cluster\.prod .*?^    }$\n`)

// volatiles are IDs, tokens and times, which differ from run to run.
var volatiles = []*regexp.Regexp{
	regexp.MustCompile(`"[0-9a-f]{12,64}"`),
	regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:]+Z"`),
}

// TestRolloutInPlans holds what a reviewer sees: every step of the plan with a plus, no step of an earlier plan, and
// nothing at all if nothing is to be done.
func TestRolloutInPlans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.terminal(t)
	var seen strings.Builder
	is := func(title, text string) { fmt.Fprintf(&seen, "# %s\n%s\n", title, strings.TrimRight(text, "\n")+"\n") }
	stop := func() { w.host(12).StopUnit("prod") }
	formed, rolled := three(unprotected), three(unprotected+"settings = { snapshot_count = 5000 }\n")

	if err := os.WriteFile(filepath.Join(x.dir, "main.tf"), []byte(formed), 0o600); err != nil {
		t.Fatal(err)
	}
	x.must("init", "-no-color")
	is("create", x.plan(formed))
	x.must("apply", "saved.tfplan")
	applied := formed
	for _, change := range []struct {
		title  string
		happen func()
		config string
	}{
		{"roll", func() {}, rolled},
		{"repair", stop, rolled},
		{"the same repair once more", stop, rolled},
		{"repair and roll", stop, formed},
		{"replace", func() {}, of("a b c@21", unprotected)},
	} {
		is("after the apply, without a refresh", x.plan(applied, "-refresh=false"))
		is("after the apply", x.plan(applied))
		change.happen()
		is(change.title, x.plan(change.config))
		x.must("apply", "saved.tfplan")
		is("in the state", x.done())
		if change.title == "repair" {
			x.age()
			is("in the state of an older provider", x.done())
		}
		applied = change.config
	}
	x.must("apply", "-refresh-only", "-auto-approve")
	is("in the state, refreshed", x.done())

	file := filepath.Join(x.dir, "prod.db")
	x.plan(applied + fmt.Sprintf(`
		resource "etcd_snapshot" "before" {
			cluster = { name = etcd_cluster.prod.name, owner = etcd_cluster.prod.owner, members = etcd_cluster.prod.members }
			file    = %q
		}`, file))
	x.must("apply", "saved.tfplan")
	restored := of("a b c@21", unprotected+fmt.Sprintf("restore = {\nfile = %q\noverwrite_cluster_id = %q\n}\n", file, x.clusterID()))
	is("restore", strings.ReplaceAll(x.plan(restored), x.dir, "..."))
	x.must("apply", "saved.tfplan")
	is("in the state", strings.ReplaceAll(x.done(), x.dir, "..."))

	golden := filepath.Join("testdata", "rollout.txt")
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, []byte(seen.String()), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(asShown(string(want)), asShown(seen.String())); diff != "" {
		t.Errorf("plans differ from %s (-want +got; go test -update writes it anew):\n%s", golden, diff)
	}
}

// asShown removes from a plan what Terraform and OpenTofu show differently. OpenTofu says that a write-only attribute
// may have changed, which changes how many attributes are hidden, and shows a changed element of a list as one removed
// and one added.
func asShown(plan string) string {
	if filepath.Base(os.Getenv("TF_ACC_TERRAFORM_PATH")) == "tofu" {
		plan = writeOnly.ReplaceAllString(plan, "")
		plan = hidden.ReplaceAllString(plan, "# (unchanged attributes hidden)")
		plan = element.ReplaceAllString(plan, "$1- $2,\n$1+ $3,")
	}
	return plan
}

var (
	writeOnly = regexp.MustCompile(`(?m)^ *~ \w+ += \(write-only attribute\)\n`)
	hidden    = regexp.MustCompile(`# \(\d+ unchanged attributes hidden\)`)
	element   = regexp.MustCompile(`(?m)^( *)~ ("[^"]*") -> ("[^"]*"),$`)
)
