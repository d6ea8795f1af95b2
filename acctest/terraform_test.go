package acctest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// providerSource is where configurations take the provider from.
const providerSource = "etcd-on-hosts/etcd"

// workspace is a directory with a configuration, and the real CLI that runs on it in a lab's network.
type workspace struct {
	t   testing.TB
	lab *lab.Lab // nil: none, and the CLI runs in this machine's own network
	dir string
	env []string
}

// newWorkspace writes a configuration beside an installed provider and runs init.
func newWorkspace(t testing.TB, l *lab.Lab, configuration string) *workspace {
	t.Helper()
	w := emptyWorkspace(t, l)
	w.write("main.tf", configuration)
	w.must("init", "-no-color")
	return w
}

// emptyWorkspace has the provider installed, and no configuration yet.
func emptyWorkspace(t testing.TB, l *lab.Lab) *workspace {
	t.Helper()
	w := &workspace{t: t, lab: l, dir: t.TempDir()}
	mirror := filepath.Join(w.dir, "mirror")
	binary := os.Getenv("ETCD_PROVIDER")
	version := strings.TrimPrefix(filepath.Base(binary), "terraform-provider-etcd_v")
	for _, registry := range []string{"registry.terraform.io", "registry.opentofu.org"} {
		place := filepath.Join(mirror, registry, providerSource, version, runtime.GOOS+"_"+runtime.GOARCH)
		if err := os.MkdirAll(place, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(binary, filepath.Join(place, filepath.Base(binary))); err != nil {
			t.Fatal(err)
		}
	}
	w.write("cli.tfrc", fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror))
	w.env = append(os.Environ(),
		"TF_CLI_CONFIG_FILE="+filepath.Join(w.dir, "cli.tfrc"),
		"TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "TF_INPUT=0")
	return w
}

// write puts a file into the workspace.
func (w *workspace) write(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// read returns a file of the workspace; empty where there is none.
func (w *workspace) read(name string) string {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(content)
}

// command is a run of the CLI in the lab's network, not started yet.
func (w *workspace) command(args ...string) (*exec.Cmd, *bytes.Buffer) {
	w.t.Helper()
	// Far beyond the longest run that was seen: it catches a hang, and says where.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	w.t.Cleanup(cancel)
	start := exec.CommandContext
	if w.lab != nil {
		start = w.lab.Command
	}
	command := start(ctx, os.Getenv("ETCD_CLI"), args...)
	command.Dir, command.Env = w.dir, w.env
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	return command, &output
}

// run runs the CLI to its end, and returns what it printed and its exit code. The log of the test tells how long each
// run took.
func (w *workspace) run(args ...string) (string, int) {
	w.t.Helper()
	command, output := w.command(args...)
	begun := time.Now()
	err := command.Run()
	w.t.Logf("%s: %.1f s", strings.Join(args, " "), time.Since(begun).Seconds())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return output.String(), command.ProcessState.ExitCode()
}

// must runs the CLI and fails the test where it fails.
func (w *workspace) must(args ...string) string {
	w.t.Helper()
	output, code := w.run(args...)
	if code != 0 {
		w.t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, output)
	}
	return output
}

// mustFail runs the CLI, which has to fail with an error that holds every one of the texts. Line
// breaks and frames that the CLI puts into messages do not count.
func (w *workspace) mustFail(args []string, texts ...string) string {
	w.t.Helper()
	output, code := w.run(args...)
	if code == 0 {
		w.t.Fatalf("%s succeeded, and should not have\n%s", strings.Join(args, " "), output)
	}
	flat := flatten(output)
	for _, text := range texts {
		if !strings.Contains(flat, flatten(text)) {
			w.t.Errorf("%s: the error does not say %q:\n%s", strings.Join(args, " "), text, output)
		}
	}
	return output
}

// flatten undoes the layout of a message.
func flatten(text string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("│", " ", "╷", " ", "╵", " ").Replace(text)), " ")
}

func (w *workspace) apply() string {
	w.t.Helper()
	return w.must("apply", "-auto-approve", "-no-color")
}

func (w *workspace) destroy() string {
	w.t.Helper()
	return w.must("destroy", "-auto-approve", "-no-color")
}

// applyFails is an apply that has to fail and say all of the texts.
func (w *workspace) applyFails(texts ...string) string {
	w.t.Helper()
	return w.mustFail([]string{"apply", "-auto-approve", "-no-color"}, texts...)
}

// planCode is the exit code of a plan: 0 no changes, 2 changes.
func (w *workspace) planCode() (string, int) {
	w.t.Helper()
	return w.run("plan", "-detailed-exitcode", "-no-color")
}

// mustBeSettled fails the test where a plan would change anything.
func (w *workspace) mustBeSettled() {
	w.t.Helper()
	if output, code := w.planCode(); code != 0 {
		w.t.Errorf("plan -detailed-exitcode: %d, want 0: no changes\n%s", code, output)
	}
}

// state is the attributes of a resource in the state; nil where it is not there. tainted tells whether Terraform would
// replace it. The file is read as it lies there: to show it, the CLI would start and start the provider.
func (w *workspace) state(address string) (attributes map[string]any, tainted bool) {
	w.t.Helper()
	var file struct {
		Resources []struct {
			Mode      string `json:"mode"`
			Type      string `json:"type"`
			Name      string `json:"name"`
			Instances []struct {
				Status     string         `json:"status"`
				Attributes map[string]any `json:"attributes"`
			} `json:"instances"`
		} `json:"resources"`
	}
	text := w.read("terraform.tfstate")
	if text == "" {
		return nil, false
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		w.t.Fatal(err)
	}
	for _, resource := range file.Resources {
		found := resource.Type + "." + resource.Name
		if resource.Mode == "data" {
			found = "data." + found
		}
		if found == address && len(resource.Instances) > 0 {
			return resource.Instances[0].Attributes, resource.Instances[0].Status == "tainted"
		}
	}
	return nil, false
}

// rolloutOf are the steps that a saved plan shows for the cluster.
func (w *workspace) rolloutOf(plan string) []string {
	w.t.Helper()
	var shown struct {
		Changes []struct {
			Address string `json:"address"`
			Change  struct {
				After map[string]any `json:"after"`
			} `json:"change"`
		} `json:"resource_changes"`
	}
	if err := json.Unmarshal([]byte(w.must("show", "-json", plan)), &shown); err != nil {
		w.t.Fatal(err)
	}
	for _, change := range shown.Changes {
		if change.Address == "etcd_cluster.prod" {
			return texts(w.t, change.Change.After["rollout"])
		}
	}
	w.t.Fatalf("plan %s says nothing of the cluster", plan)
	return nil
}
