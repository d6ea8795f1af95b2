package acctest

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestSecretsStayWhereTheyBelong makes a cluster with everything logged that can be logged, and looks for
// every secret in all that is left behind: none may be there but the authorities' keys in the state of
// etcd_pki, and a member's own keys on its host, where the guide on security says.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	const password = "Sudo-Passw0rd-of-the-lab"
	l := up(t, lab.Config{Hosts: []lab.HostConfig{{Name: "a", User: "ops", Password: password}}})
	w := newWorkspace(t, l, configuration(t, l, setup{
		ssh: fmt.Sprintf("user = \"ops\"\n    private_key = file(%q)\n    sudo_password = %q", l.KeyFile(), password),
	}))
	w.env = append(w.env, "TF_LOG=TRACE", "TF_LOG_PATH="+filepath.Join(w.dir, "trace.log"))
	w.must("plan", "-out=create.tfplan", "-no-color")
	w.must("apply", "-no-color", "create.tfplan")
	w.must("plan", "-out=settled.tfplan", "-no-color")

	left := map[string][]byte{
		"state":        []byte(w.read("terraform.tfstate")),
		"trace log":    []byte(w.read("trace.log")),
		"progress log": []byte(w.read("progress.log")),
		"process list": []byte(inHost(t, l.Host("a"), "ps", "-eo", "args")),
		"journal":      []byte(inHost(t, l.Host("a"), "journalctl", "--no-pager")),
	}
	for _, plan := range []string{"create.tfplan", "settled.tfplan"} {
		for name, content := range unzip(t, filepath.Join(w.dir, plan)) {
			left[plan+"/"+name] = content
		}
	}
	if len(left["trace log"]) < 10_000 || len(left) < 8 {
		t.Fatalf("too little was left to look into: %d files, a trace of %d bytes", len(left), len(left["trace log"]))
	}

	secrets := map[string][]string{"sudo password": {password}}
	for _, name := range []string{"peer", "server", "admin"} {
		secrets[name+" key"] = formsOf(t, inHost(t, l.Host("a"), "cat", "/etc/etcd/prod/tls/"+name+".key"))
	}
	secrets["client's key"] = formsOf(t, w.read("client.key"))
	login, err := os.ReadFile(l.KeyFile())
	if err != nil {
		t.Fatal(err)
	}
	secrets["SSH key"] = linesOf(string(login))
	for what, forms := range secrets {
		for where, content := range left {
			// A plan holds the configuration itself, and this one has the password written into it.
			if strings.Contains(where, "tfconfig") && what == "sudo password" {
				continue
			}
			if form := find(content, forms); form != "" {
				t.Errorf("the %s is in the %s, as %q", what, where, form[:min(8, len(form))]+"...")
			}
		}
	}

	cluster, _ := w.state("etcd_cluster.prod")
	pki, _ := w.state("etcd_pki.prod")
	authorities := pki["authority"].(map[string]any)
	for name, owner := range map[string]string{"peer": "etcd", "server": "etcd", "admin": "root"} {
		want := fmt.Sprintf("600 %s /etc/etcd/prod/tls/%s.key", owner, name)
		if found := filesWith(t, l.Host("a"), inHost(t, l.Host("a"), "cat", "/etc/etcd/prod/tls/"+name+".key")); found != want {
			t.Errorf("the %s key is on its host in\n%s\nand should be in\n%s", name, found, want)
		}
	}
	elsewhere := map[string]string{"client's key": w.read("client.key"), "SSH key": string(login), "sudo password": password}
	for _, name := range []string{"peer", "client"} {
		elsewhere["authority's key for "+name+"s"] = authorities[name].(map[string]any)["private_key"].(string)
	}
	for what, text := range elsewhere {
		if found := filesWith(t, l.Host("a"), text); found != "" {
			t.Errorf("the %s is on a host, in\n%s", what, found)
		}
	}
	for _, name := range []string{"peer", "client"} { // none is trusted beside these
		forms := formsOf(t, authorities[name].(map[string]any)["private_key"].(string))
		if find(left["state"], forms) == "" {
			t.Error("the authority's key is not found in the state: this test would find no other either")
		}
		if find([]byte(fmt.Sprint(cluster)), forms) != "" {
			t.Error("an authority's key is in the state of etcd_cluster")
		}
		for _, where := range []string{"trace log", "progress log", "process list", "journal"} {
			if find(left[where], forms) != "" {
				t.Errorf("an authority's key is in the %s", where)
			}
		}
	}
}

// filesWith are the files of a host, with modes and owners, that hold a secret: a password, or a line of a key's PEM
// beside the first, with which others begin too. It looks where programs write, and below any name.
func filesWith(t *testing.T, h *lab.Host, secret string) string {
	t.Helper()
	sought := []string{secret}
	if lines := linesOf(secret); len(lines) > 1 {
		sought = lines[1:]
	}
	const search = `cd /dev/shm && echo "$1" | base64 -d >sought && grep -rlF -f sought --exclude=sought /boot /dev/shm /etc /home /opt /root /run /srv /tmp /usr/local /var 2>/dev/null |
		sort | while read -r file; do stat -c '%a %U %n' "$file"; done; rm sought`
	return strings.TrimSpace(inHost(t, h, "sh", "-c", search, "sh", base64.StdEncoding.EncodeToString([]byte(strings.Join(sought, "\n")))))
}

// formsOf are the ways in which a private key, PEM, could be written down: the lines of its PEM, also
// with line ends escaped, and the bytes of the number that is the secret, raw, in hexadecimal and base64.
func formsOf(t *testing.T, text string) []string {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("what should be a key is not PEM")
	}
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
			t.Fatal(err)
		}
	}
	secret, err := key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	forms := linesOf(text)
	return append(forms, string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		base64.StdEncoding.EncodeToString(secret), base64.StdEncoding.EncodeToString(block.Bytes))
}

// linesOf are the lines of a PEM that are long enough to be nothing else.
func linesOf(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); len(line) > 32 && !strings.HasPrefix(line, "-----") {
			lines = append(lines, line)
		}
	}
	return lines
}

// find is the first of the forms that is in content; empty where none is.
func find(content []byte, forms []string) string {
	for _, form := range forms {
		if bytes.Contains(content, []byte(form)) {
			return form
		}
	}
	return ""
}

// unzip is what a plan file holds.
func unzip(t *testing.T, file string) map[string][]byte {
	t.Helper()
	archive, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	contents := map[string][]byte{}
	for _, entry := range archive.File {
		reader, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		contents[entry.Name] = content
	}
	return contents
}
