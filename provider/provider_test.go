package provider

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/config"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// TestMain finds the CLI that tests run: the one that TF_ACC_TERRAFORM_PATH names, else one in PATH.
func TestMain(m *testing.M) {
	os.Unsetenv("TF_CLI_CONFIG_FILE") // which could name a file that is not there
	os.Setenv("TF_ACC", "1")
	for _, name := range []string{"terraform", "tofu"} {
		if path, err := exec.LookPath(name); err == nil && os.Getenv("TF_ACC_TERRAFORM_PATH") == "" {
			os.Setenv("TF_ACC_TERRAFORM_PATH", path)
		}
	}
	if filepath.Base(os.Getenv("TF_ACC_TERRAFORM_PATH")) == "tofu" {
		os.Setenv("TF_ACC_PROVIDER_HOST", "registry.opentofu.org") // which it takes providers from
	}
	os.Exit(m.Run())
}

// run runs steps with the real CLI and the real provider.
func run(t *testing.T, steps ...tftest.TestStep) {
	t.Helper()
	if os.Getenv("TF_ACC_TERRAFORM_PATH") == "" {
		t.Skip("neither terraform nor tofu is in PATH: install one, or run `make tofu`")
	}
	tftest.Test(t, tftest.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){"etcd": providerserver.NewProtocol6WithError(New("test")())},
		Steps:                    steps,
	})
}

// configured is a configuration with this provider block, and something that needs no host.
func configured(block string) string {
	return "provider \"etcd\" {\n" + block + "\n}\nresource \"etcd_pki\" \"prod\" { name = \"prod\" }\n"
}

// says matches a message whatever the CLI does to its line breaks.
func says(text string) *regexp.Regexp {
	words := strings.Fields(text)
	for i, word := range words {
		words[i] = regexp.QuoteMeta(word)
	}
	return regexp.MustCompile(strings.Join(words, `[\s│]+`))
}

// privateKey is the text of a private key.
func privateKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestBadSettings are refused by name before any host is needed.
func TestBadSettings(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	var steps []tftest.TestStep
	with := func(more string) string { return fmt.Sprintf("ssh = { private_key = %q, %s }", privateKey(t), more) }
	for name, test := range map[string]struct{ block, want string }{
		"no key":             {`ssh = { private_key = "nonsense" }`, "This is no private key"},
		"a public key":       {`ssh = { private_key = "ssh-ed25519 AAAA" }`, "it is a public key: set the private one"},
		"a bastion's no key": {with(`bastion = { address = "b", private_key = "nonsense" }`), "ssh.bastion.private_key: it is no private key"},
		"a key that is gone": {fmt.Sprintf(`ssh = { private_key_file = %q }`, missing), "private_key_file: open " + missing},
		"two keys":           {fmt.Sprintf(`ssh = { private_key_file = %q, private_key = "x" }`, missing), "Attribute \"ssh.private_key_file\" cannot be specified when \"ssh.private_key\" is specified"},
		"no credentials":     {`ssh = { user = "ops" }`, "no SSH credentials: set private_key, private_key_file or agent"},
		"no port":            {with(`port = 0`), "ssh.port value must be between 1 and 65535"},
		"no authority":       {with(`host_ca = "nonsense"`), "Bad value for ssh.host_ca"},
		"no known hosts":     {with(fmt.Sprintf(`known_hosts_file = %q`, missing)), "known_hosts: open " + missing},
		"no duration":        {with(`connect_timeout = "soon"`), "Bad value for ssh.connect_timeout"},
		"no bastion":         {with(`bastion = { address = "b:22" }`), "Bad value for ssh.bastion.address"},
		"no bastion's key":   {with(`bastion = { address = "b", host_key = "x" }`), "Bad value for ssh.bastion.host_key"},
		"no user":            {with(`user = ""`), "ssh.user string length must be at least 1"},
		"no progress log":    {fmt.Sprintf(`progress_log = %q`, filepath.Join(missing, "progress.log")), "The progress log cannot be written"},
	} {
		steps = append(steps, tftest.TestStep{PreConfig: func() { t.Log(name) }, Config: configured(test.block), ExpectError: says(test.want)})
	}
	run(t, append(steps, tftest.TestStep{Config: configured("")})...)
}

// TestUnknownAndEphemeralSettings: nothing is dialed before a host is needed, so values may be missing
// until then, and need never be kept.
func TestUnknownAndEphemeralSettings(t *testing.T) {
	run(t,
		tftest.TestStep{Config: configured(`ssh = { private_key = terraform_data.key.output }`) + `resource "terraform_data" "key" { input = "nonsense" }`, PlanOnly: true, ExpectNonEmptyPlan: true},
		tftest.TestStep{Config: configured(`ssh = { agent = true, bastion = terraform_data.bastion.output }`) + `resource "terraform_data" "bastion" { input = { address = "jump" } }`, PlanOnly: true, ExpectNonEmptyPlan: true},
		tftest.TestStep{Config: configured(`ssh = terraform_data.ssh.output`) + `resource "terraform_data" "ssh" { input = { bastion = { address = "jump" } } }`, PlanOnly: true, ExpectNonEmptyPlan: true},
		tftest.TestStep{Config: configured(``)},
		tftest.TestStep{
			Config:          configured("ssh = { private_key = var.key }") + "variable \"key\" {\n type = string\n ephemeral = true\n}",
			ConfigVariables: config.Variables{"key": config.StringVariable(privateKey(t))},
		})
}

// TestProviderSecretsStayInside: no file that Terraform or the provider writes holds them.
func TestProviderSecretsStayInside(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TF_ACC_TEMP_DIR", filepath.Join(dir))
	t.Setenv("TF_ACC_LOG", "TRACE")
	t.Setenv("TF_ACC_LOG_PATH", filepath.Join(dir, "trace.log"))
	t.Setenv("TF_ACC_PERSIST_WORKING_DIR", "1")
	key, file := privateKey(t), filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	const password = "correct-horse-battery"
	run(t, tftest.TestStep{
		Config:          configured(fmt.Sprintf("progress_log = %q\n ssh = { private_key_file = %q, sudo_password = var.password }", filepath.Join(dir, "progress.log"), file)) + "variable \"password\" {\n type = string\n ephemeral = true\n}",
		ConfigVariables: config.Variables{"password": config.StringVariable(password)},
	})
	body := strings.Split(key, "\n")[1]
	looked := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.HasSuffix(path, ".tfvars.json") {
			return err
		}
		content, err := os.ReadFile(path)
		looked++
		for _, secret := range []string{body, password} {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s holds a secret", path)
			}
		}
		return err
	})
	if err != nil || looked < 3 {
		t.Errorf("looked at %d files: %v", looked, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "progress.log")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the progress log: %v, %v", info.Mode(), err)
	}
}
