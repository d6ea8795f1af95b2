package resources_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	frameworkprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	gossh "golang.org/x/crypto/ssh"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/provider"
)

// configurable is the world behind the provider block of a configuration. It accepts the block and ignores its values.
type configurable struct{ *world }

func (c configurable) Schema(ctx context.Context, req frameworkprovider.SchemaRequest, resp *frameworkprovider.SchemaResponse) {
	provider.New("test")().Schema(ctx, req, resp)
}

// filledIn is what the user of an example writes into terraform.tfvars.
var filledIn = map[string]string{
	"own-hosts": `hosts = { a = { address = "192.0.2.11" }, b = { address = "192.0.2.12" }, c = { address = "192.0.2.13" } }`,
	"demo": `private_key_file = "key"
		hosts = { a = { address = "192.0.2.11" }, b = { address = "192.0.2.12" }, c = { address = "192.0.2.13" } }`,
	"module": `name = "prod"
		members = { a = { address = "192.0.2.11", zone = "r1", host_key = "` + aHostKey + `" } }
		backup  = { directory = "/srv/backups", recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"] }`,
	"clusters": `clusters = { prod = { members = { a = { address = "192.0.2.11", zone = "r1", host_key = "` + aHostKey + `" } } } }`,
}

const aHostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0bOf8XaFpOcsXEPhDdRJ4hmsx/oY9LHYmwQGy4T9pk"

// besideIt matches a file that an example names: the provider of a test does not run in the example's directory.
var besideIt = regexp.MustCompile(`((?:private_key_|certificate_|)file +)= "([\w.-]+)"`)

// ofTheirOwn matches names of hosts in examples.
var ofTheirOwn = regexp.MustCompile(`"([a-z])\.etcd\.example\.com"`)

// TestExamplesAreApplied applies every example, and plans it again: nothing is left to do.
func TestExamplesAreApplied(t *testing.T) {
	t.Parallel()
	examples := filepath.Join("..", "examples")
	var folders []string
	for _, depth := range []string{"*", "*/*"} {
		files, err := filepath.Glob(filepath.Join(examples, depth, "*.tf"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if folder, err := filepath.Rel(examples, filepath.Dir(file)); err == nil && (len(folders) == 0 || folders[len(folders)-1] != folder) {
				folders = append(folders, folder)
			}
		}
	}
	if len(folders) < 10 {
		t.Fatalf("there are %v in %s", folders, examples)
	}
	for _, folder := range folders {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.terminalOf(t, configurable{w})
			x.copyExample(filepath.Join(examples, folder))
			if folder == "clusters" { // its module is in the folder beside it
				beside := *x
				beside.dir = filepath.Join(x.dir, "..", "module")
				if err := os.Mkdir(beside.dir, 0o700); err != nil {
					t.Fatal(err)
				}
				beside.copyExample(filepath.Join(examples, "module"))
			}
			x.write("terraform.tfvars", filledIn[folder])
			x.write("curl", "#!/bin/sh\ntrue\n") // the example of ephemeral-resources has no host to ask
			x.env = append(x.env, "TF_VAR_ssh_private_key="+sshtest.OpenSSH(t, sshtest.NewKey(t, gossh.KeyAlgoED25519), ""), "PATH="+x.dir+":"+os.Getenv("PATH"))
			x.must("init", "-no-color")
			x.must("apply", "-no-color", "-auto-approve")
			if text, code := x.run("plan", "-no-color", "-detailed-exitcode"); code != 0 {
				t.Errorf("after its apply the plan ends with %d:\n%s", code, text)
			}
		})
	}
}

// copyExample copies an example, and adapts it to the test's provider and hosts.
func (x *terminal) copyExample(folder string) {
	x.t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		x.t.Fatal(err)
	}
	x.write("provided.tf", "terraform {\n  required_providers {\n    etcd = { source = \"hashicorp/etcd\" }\n  }\n}\n")
	for _, file := range files {
		text := string(mustRead(x.t, filepath.Join(folder, file.Name())))
		text = strings.ReplaceAll(text, `"etcd-on-hosts/etcd"`, `"hashicorp/etcd"`)
		text = ofTheirOwn.ReplaceAllStringFunc(text, func(name string) string { return fmt.Sprintf(`"192.0.2.%d"`, 11+name[1]-'a') })
		text = besideIt.ReplaceAllString(text, fmt.Sprintf("$1= %q", x.dir+"/$2"))
		if x.write(file.Name(), text); strings.Contains(text, "required_providers") {
			x.write("provided.tf", "")
		}
	}
}

// write writes a file into the working directory.
func (x *terminal) write(name, text string) {
	x.t.Helper()
	if err := os.WriteFile(filepath.Join(x.dir, name), []byte(text), 0o700); err != nil {
		x.t.Fatal(err)
	}
}
