package acctest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// examples is where they are, seen from this package.
const examples = "../examples"

// provided is what an example lacks that is one resource only, as the documentation shows it.
var provided = fmt.Sprintf("terraform {\n  required_providers {\n    etcd = { source = %q }\n  }\n}\n", providerSource)

// variables are what the user of an example would fill in.
var variables = map[string]string{
	"own-hosts": `
hosts = {
  a = { address = "192.0.2.11", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0bOf8XaFpOcsXEPhDdRJ4hmsx/oY9LHYmwQGy4T9pk" }
  b = { address = "192.0.2.12", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILRVj/nqpIiL+/KpimHTs4tK9XPyuJck6ETJvUjNrhvc" }
  c = { address = "192.0.2.13", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDL+fdI4IAYBcPJkYoeru7pO7bbvmfbJhhUBgH1MsP/1" }
}
`,
	"module": `
name    = "prod"
members = { a = { address = "192.0.2.11", zone = "r1", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0bOf8XaFpOcsXEPhDdRJ4hmsx/oY9LHYmwQGy4T9pk" } }
backup  = { directory = "/var/backups/etcd", recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"] }
`,
	"clusters": `
clusters = {
  prod = {
    members = {
      a = { address = "192.0.2.11", zone = "r1", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0bOf8XaFpOcsXEPhDdRJ4hmsx/oY9LHYmwQGy4T9pk" }
      b = { address = "192.0.2.12", zone = "r2", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILRVj/nqpIiL+/KpimHTs4tK9XPyuJck6ETJvUjNrhvc" }
      c = { address = "192.0.2.13", zone = "r3", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDL+fdI4IAYBcPJkYoeru7pO7bbvmfbJhhUBgH1MsP/1" }
    }
  }
}
`,
	"demo": `
private_key_file = "~/.ssh/id_ed25519"
hosts            = { a = { address = "192.0.2.11", host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0bOf8XaFpOcsXEPhDdRJ4hmsx/oY9LHYmwQGy4T9pk" } }
`,
}

// TestExamples sees that every example is one that Terraform takes: nobody should begin with a
// configuration that fails. There are no such hosts, so each is planned without a look at them.
func TestExamples(t *testing.T) {
	t.Parallel()
	handedOver(t, "ETCD_PROVIDER", "ETCD_CLI")
	key := privateKey(t)
	for _, folder := range exampleFolders(t) {
		t.Run(folder, func(t *testing.T) {
			w := emptyWorkspace(t, nil)
			w.env = append(w.env, "HOME="+w.dir, "TF_VAR_ssh_private_key="+key)
			if err := os.Mkdir(filepath.Join(w.dir, ".ssh"), 0o700); err != nil {
				t.Fatal(err)
			}
			w.write(".ssh/id_ed25519", key)
			w.copyFrom(filepath.Join(examples, folder))
			w.write("terraform.tfvars", variables[folder])
			if folder == "clusters" { // its module is the folder beside it
				beside := *w
				beside.dir = filepath.Join(w.dir, "..", "module")
				if err := os.Mkdir(beside.dir, 0o755); err != nil {
					t.Fatal(err)
				}
				beside.copyFrom(filepath.Join(examples, "module"))
				beside.write("unseen_override.tf", unseen(t, filepath.Join(examples, "module")))
			}

			w.must("init", "-no-color")
			w.must("validate", "-no-color")
			w.write("unseen_override.tf", unseen(t, filepath.Join(examples, folder)))
			w.must("plan", "-no-color")
		})
	}
}

// restless are calls of functions that give something else in each plan.
var restless = regexp.MustCompile(`\b(timestamp|plantimestamp|uuid|bcrypt)\(`)

// first takes what may not be there: a list of a cluster that has none yet has no first element.
var first = regexp.MustCompile(`\[[0-9]+\]`)

// TestConfigurationsPlanNothingTwice holds what every configuration keeps to that is there to be copied, examples and
// those in the text of guides: a second plan shows nothing to do, a list that is still empty fails no plan, and the
// provider's version is constrained.
func TestConfigurationsPlanNothingTwice(t *testing.T) {
	t.Parallel()
	texts := map[string]string{}
	for _, pattern := range []string{"../examples/*/*.tf", "../examples/*/*/*.tf", "../templates/docs/guides/*.tmpl", "../README.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(file) == ".tf" {
				texts[file] = string(content)
				continue
			}
			for i, fence := range fences.FindAllStringSubmatch(string(content), -1) {
				texts[fmt.Sprintf("%s, configuration %d", file, i+1)] = fence[1]
			}
		}
	}
	if len(texts) < 30 {
		t.Errorf("%d configurations were found", len(texts))
	}
	for name, text := range texts {
		for line := range strings.Lines(text) {
			code, _, _ := strings.Cut(line, "#")
			if found := restless.FindString(code); found != "" {
				t.Errorf("%s: %s is something else in each plan", name, strings.TrimSuffix(found, "("))
			}
			if first.MatchString(code) && !strings.Contains(code, "try(") {
				t.Errorf("%s: %s fails where the list is empty", name, strings.TrimSpace(code))
			}
		}
		if strings.Contains(text, "required_providers") && !strings.Contains(text, "version = \"~> ") {
			t.Errorf("%s takes whichever version of the provider there is", name)
		}
	}
}

// fences are the configurations in a document.
var fences = regexp.MustCompile("(?ms)^ *```terraform\n(.*?)^ *```$")

// unseen overrides the clusters of a configuration, so that plans do not look at their hosts.
func unseen(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.tf"))
	if err != nil {
		t.Fatal(err)
	}
	override := ""
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range clusterResource.FindAllStringSubmatch(string(text), -1) {
			override += fmt.Sprintf("resource \"etcd_cluster\" %q {\n  preflight_at_plan = false\n}\n", name[1])
		}
	}
	return override
}

var clusterResource = regexp.MustCompile(`(?m)^resource "etcd_cluster" "(\w+)"`)

// TestModuleExample runs the tests that the example of a module comes with, as its user would.
func TestModuleExample(t *testing.T) {
	t.Parallel()
	handedOver(t, "ETCD_PROVIDER", "ETCD_CLI")
	w := emptyWorkspace(t, nil)
	w.copyFrom(filepath.Join(examples, "module"))
	w.must("init", "-no-color")
	runs := strings.Count(w.read("cluster.tftest.hcl"), "\nrun ")
	if out := w.must("test", "-no-color"); !strings.Contains(out, fmt.Sprintf("%d passed, 0 failed", runs)) {
		t.Errorf("of %d tests of the module:\n%s", runs, out)
	}
}

// TestFunctionExamples sees that functions give what their examples say.
func TestFunctionExamples(t *testing.T) {
	t.Parallel()
	handedOver(t, "ETCD_PROVIDER", "ETCD_CLI")
	for name, want := range map[string]string{"quorum": "3", "fault_tolerance": "2"} {
		w := emptyWorkspace(t, nil)
		w.copyFrom(filepath.Join(examples, "functions", name))
		w.must("init", "-no-color")
		w.must("apply", "-no-color", "-auto-approve")
		if got := strings.TrimSpace(w.must("output", "-json", name)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// exampleFolders are all folders with a configuration in them, relative to examples.
func exampleFolders(t *testing.T) []string {
	t.Helper()
	var folders []string
	for _, depth := range []string{"*", "*/*"} {
		files, err := filepath.Glob(filepath.Join(examples, depth, "*.tf"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			folder, err := filepath.Rel(examples, filepath.Dir(file))
			if err != nil {
				t.Fatal(err)
			}
			folders = append(folders, folder)
		}
	}
	if len(folders) == 0 {
		t.Fatalf("there are no examples in %s", examples)
	}
	return slices.Compact(folders)
}

// copyFrom copies an example's files, and adds where the provider comes from if they do not say it.
func (w *workspace) copyFrom(folder string) {
	w.t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		w.t.Fatal(err)
	}
	complete := false
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		complete = complete || strings.Contains(string(content), "required_providers")
		w.write(entry.Name(), string(content))
	}
	if !complete {
		w.write("provided.tf", provided)
	}
}

// privateKey is a key of the kind that a user would log in to hosts with.
func privateKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
