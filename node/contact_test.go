package node

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// runContact runs the script on this machine, with everything that it looks at below root.
func runContact(t *testing.T, root string) api.Contact {
	t.Helper()
	script := strings.Join([]string{
		"root=" + ssh.Quote(filepath.Join(root, "stores")),
		"marker=" + ssh.Quote(filepath.Join(root, "cluster.json")),
		"data=" + ssh.Quote(filepath.Join(root, "data")),
	}, "\n") + "\n" + contactScript
	output, err := exec.Command("sh", "-c", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	contact, err := parseContact(string(output), []int{2379, 2380})
	if err != nil {
		t.Fatal(err)
	}
	return contact
}

func TestContactReadsWhatIsThere(t *testing.T) {
	root := t.TempDir()
	bare := runContact(t, root)
	if bare.Kernel == "" || bare.Machine == "" || bare.FreeBytes == 0 || bare.ReadOnly {
		t.Errorf("this machine reads as %+v", bare)
	}
	if bare.Marker != nil || bare.DataNotEmpty || bare.Installed != nil {
		t.Errorf("an empty directory reads as %+v", bare)
	}

	hash := strings.Repeat("ab", 32)
	for path, content := range map[string]string{
		"stores/" + hash + "/store":     "#!/bin/sh\n",
		"stores/.incoming.x1/store":     "half",
		"data/lost+found/of-the-mount":  "",
		"data/aside-20261123/member/db": "kept",
		"cluster.json":                  `{"cluster":"prod","member":"a","phase":"forming"}`,
	} {
		file := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(hash, filepath.Join(root, "stores", "prod")); err != nil {
		t.Fatal(err)
	}
	used := runContact(t, root)
	if diff := cmp.Diff([]string{hash}, used.Installed); diff != "" {
		t.Errorf("installed stores (a link and an unfinished upload are none): %s", diff)
	}
	if used.DataNotEmpty {
		t.Error("what was moved aside, or lost+found, was taken for data")
	}
	if used.Marker == nil || used.Marker.Member != "a" || used.Marker.Phase != api.PhaseForming {
		t.Errorf("marker reads %+v (%s)", used.Marker, used.MarkerError)
	}

	if err := os.MkdirAll(filepath.Join(root, "data", "member"), 0o700); err != nil {
		t.Fatal(err)
	}
	if !runContact(t, root).DataNotEmpty {
		t.Error("a member's data was not seen")
	}
}

func TestParseContact(t *testing.T) {
	broken := base64.StdEncoding.EncodeToString([]byte("not json"))
	output := strings.Join([]string{
		"kernel 6.1.0-28-amd64", "machine x86_64", "init systemd", "machine-id f00d", "boot-id b007", "root /var/stores", "no-user-namespaces yes", "first-port 0",
		"missing gzip", "missing useradd", "read-only /usr", "free-kib 2048", "data-free-kib 0",
		"marker " + broken, "data yes",
		"listen 094C", "listen 094B", "listen 094B", "listen 0016",
		"etcd /usr/bin/etcd", "etcd " + api.InstalledStore("ab"), "etcd /var/stores/ab/store",
		"end .",
	}, "\n") + "\n"
	got, err := parseContact(output, []int{2379, 2380})
	if err != nil {
		t.Fatal(err)
	}
	if got.MarkerError == "" || got.Marker != nil {
		t.Errorf("a marker that is no JSON reads %+v, %q", got.Marker, got.MarkerError)
	}
	got.MarkerError = ""
	want := api.Contact{
		Kernel: "6.1.0-28-amd64", Machine: "x86_64", Systemd: true, MachineID: "f00d", BootID: "b007", NoUserNamespaces: true, FirstPort: 1,
		Missing: []string{"gzip", "useradd"}, ReadOnly: true, FreeBytes: 2 << 20, DataFreeBytes: 1,
		DataNotEmpty: true, Listening: []int{2379, 2380}, ForeignEtcd: []string{"/usr/bin/etcd"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseContactRefusesWhatItDidNotAskFor(t *testing.T) {
	for _, output := range []string{"", "Welcome to this host!\n", "kernel 6.1\nmachine x86_64\n", "free-kib lots\nend .\n", "data-free-kib lots\nend .\n", "first-port none\nend .\n"} {
		if contact, err := parseContact(output, nil); err == nil {
			t.Errorf("%q was read as %+v", output, contact)
		}
	}
}
