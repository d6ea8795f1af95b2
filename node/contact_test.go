package node

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// runContact runs the script on this machine, on what lies below root.
func runContact(t *testing.T, root string, more ...int) api.Contact {
	t.Helper()
	ports := append([]int{2379, 2380}, more...)
	output, err := exec.Command("sh", "-c", contactSettings(root, ports...)+contactScript).Output()
	if err != nil {
		t.Fatal(err)
	}
	contact, err := parseContact(string(output), ports)
	if err != nil {
		t.Fatal(err)
	}
	return contact
}

// contactSettings returns the script's variables, with all paths below root.
func contactSettings(root string, ports ...int) string {
	return strings.Join([]string{
		"root=" + ssh.Quote(filepath.Join(root, "stores")),
		"marker=" + ssh.Quote(filepath.Join(root, "cluster.json")),
		"data=" + ssh.Quote(filepath.Join(root, "data")),
		"units=" + ssh.Quote(filepath.Join(root, "units")),
		"ports=" + ssh.Quote(hexadecimal(ports)),
	}, "\n") + "\n"
}

func TestContactReadsWhatIsThere(t *testing.T) {
	root := t.TempDir()
	begun := time.Now().Truncate(time.Second)
	bare := runContact(t, root)
	if bare.Time.Before(begun) || bare.Time.After(time.Now()) {
		t.Errorf("it is %s here, between %s and now", bare.Time, begun)
	}
	if bare.Kernel == "" || bare.Machine == "" || bare.FreeBytes == 0 || bare.ReadOnly || bare.NoExec || bare.Unwritable != nil {
		t.Errorf("this machine reads as %+v", bare)
	}
	if bare.Marker != nil || bare.DataNotEmpty || bare.Installed != nil {
		t.Errorf("an empty directory reads as %+v", bare)
	}

	hash := strings.Repeat("ab", 32)
	for path, content := range map[string]string{
		"stores/" + hash + "/store":                          "#!/bin/sh\n",
		"stores/.incoming.x1/store":                          "half",
		"stores/" + strings.Repeat("cd", 32) + "/store/file": "in a directory",
		"data/lost+found/of-the-mount":                       "",
		"data/aside-20261123/member/db":                      "kept",
		"cluster.json":                                       `{"cluster":"prod","member":"a","phase":"forming"}`,
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
		t.Errorf("installed stores (a link, a directory and an unfinished upload are none): %s", diff)
	}
	if used.DataNotEmpty {
		t.Error("what was moved aside, or lost+found, was taken for data")
	}
	if used.Marker == nil || used.Marker.Member != "a" || used.Marker.Phase != api.PhaseForming {
		t.Errorf("marker reads %+v (%s)", used.Marker, used.MarkerError)
	}
	if same := ofCluster(used, "prod"); same.Marker == nil || same.MarkerError != "" {
		t.Errorf("of its own cluster it reads %+v (%s)", same.Marker, same.MarkerError)
	}
	if other := ofCluster(used, "test"); other.Marker != nil || !strings.Contains(other.MarkerError, `of cluster "prod"`) {
		t.Errorf("of another cluster it reads %+v (%s)", other.Marker, other.MarkerError)
	}

	if err := os.MkdirAll(filepath.Join(root, "data", "member"), 0o700); err != nil {
		t.Fatal(err)
	}
	if !runContact(t, root).DataNotEmpty {
		t.Error("a member's data was not seen")
	}
}

// TestContactNamesWhoListens has this process listen on a port of the cluster.
func TestContactNamesWhoListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	root := t.TempDir()
	c := runContact(t, root, port)
	if !slices.Contains(c.Listening, port) || !strings.HasSuffix(c.Holders[port], fmt.Sprintf(", process %d", os.Getpid())) {
		t.Errorf("on port %d, %v listens on %v", port, c.Holders, c.Listening)
	}
	if c = runContact(t, root); c.Holders[port] != "" {
		t.Errorf("of a port that is none of the cluster's it says %q", c.Holders[port])
	}
	if err := os.WriteFile(filepath.Join(root, "cluster.json"), []byte(`{"cluster":"prod"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if c = runContact(t, root, port); c.Holders != nil || !slices.Contains(c.Listening, port) {
		t.Errorf("a host with a member looks for who listens: %+v", c)
	}
}

// TestContactTriesEveryPlace has a file system be read-only that holds one of the places that a host is written in.
func TestContactTriesEveryPlace(t *testing.T) {
	for _, place := range []string{"stores", "units", "data", "deep", "."} {
		root := t.TempDir()
		settings := contactSettings(root) + "data=" + ssh.Quote(filepath.Join(root, "deep", "er", "data")) + "\n"
		if place == "data" {
			settings = contactSettings(root)
		}
		closed := ssh.Quote(filepath.Join(root, place))
		script := "mkdir -p " + closed + " && mount -t tmpfs none " + closed + " && mount -o remount,ro " + closed + " || exit 9\n" + settings + contactScript
		output, err := exec.Command("unshare", "--mount", "sh", "-c", script).Output()
		if err != nil {
			t.Skipf("this machine does not let us mount: %v", err)
		}
		c, err := parseContact(string(output), nil)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if place != "stores" {
			want = []string{filepath.Join(root, place)}
		}
		if diff := cmp.Diff(want, c.Unwritable); diff != "" || c.ReadOnly != (place == "stores" || place == ".") {
			t.Errorf("with %s mounted read-only it says %t, %s", place, c.ReadOnly, diff)
		}
	}
}

// TestContactSeesNoexec has the place of stores be on a file system from which nothing may be executed, and holds that
// an upload there ends before it begins, with the reason.
func TestContactSeesNoexec(t *testing.T) {
	for _, place := range []string{"stores", "."} {
		root := t.TempDir()
		closed := ssh.Quote(filepath.Join(root, place))
		mount := "mkdir -p " + closed + " && mount -t tmpfs -o noexec none " + closed + " || exit 9\n"
		output, err := exec.Command("unshare", "--mount", "sh", "-c", mount+contactSettings(root)+contactScript).Output()
		if err != nil {
			t.Skipf("this machine does not let us mount: %v", err)
		}
		c, err := parseContact(string(output), nil)
		if err != nil || !c.NoExec || c.ReadOnly || c.Unwritable != nil {
			t.Errorf("with %s mounted noexec it says %+v, %v", place, c, err)
		}
		hash, packed := archive(t)
		script := unpacking(filepath.Join(root, "stores"), hash, packed).Args[2]
		install := exec.Command("unshare", "--mount", "sh", "-c", mount+script)
		install.Stdin = bytes.NewReader(packed)
		said, err := install.CombinedOutput()
		if err == nil || !strings.Contains(string(said), "is mounted noexec") || strings.Contains(string(said), " has ") {
			t.Errorf("with %s mounted noexec an upload says %s, %v", place, said, err)
		}
	}
}

func TestParseContact(t *testing.T) {
	broken := base64.StdEncoding.EncodeToString([]byte("not json"))
	output := strings.Join([]string{
		"kernel 6.1.0-28-amd64", "machine x86_64", "time 1924758489", "init systemd", "machine-id f00d", "boot-id b007", "root /var/stores", "no-user-namespaces yes", "first-port 0",
		"missing gzip", "missing useradd", "read-only /usr", "unwritable /etc", "unwritable /var/lib", "unwritable /etc", "free-kib 2048", "data-free-kib 0",
		"marker " + broken, "data yes",
		"listen 094C", "listen 094B", "listen 094B", "listen 0016",
		"holder 094B 812 ng\x1b[31mx nx", "holder 0016 1 sshd", "holder 094C x nginx",
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
		Kernel: "6.1.0-28-amd64", Machine: "x86_64", Time: time.Unix(1924758489, 0).UTC(), Systemd: true, MachineID: "f00d", BootID: "b007", NoUserNamespaces: true, FirstPort: 1,
		Missing: []string{"gzip", "useradd"}, ReadOnly: true, Unwritable: []string{"/etc", "/var/lib"}, FreeBytes: 2 << 20, DataFreeBytes: 1,
		DataNotEmpty: true, Listening: []int{2379, 2380}, Holders: map[int]string{2379: "ng?[31mx nx, process 812"}, ForeignEtcd: []string{"/usr/bin/etcd"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestContactIsToldNothingByOthers runs a process whose path has lines that look like facts: any user of a host can do
// that.
func TestContactIsToldNothingByOthers(t *testing.T) {
	root := t.TempDir()
	forged := filepath.Join(root, "x\nmachine-id f00d\nmarker Zm9yZ2Vk\ndata yes\nend .\ny")
	program := filepath.Join(forged, "etcd")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(sleep)
	if err == nil {
		err = errors.Join(os.MkdirAll(forged, 0o755), os.WriteFile(program, content, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	before := runContact(t, filepath.Join(root, "host"))
	process := exec.Command(program, "600")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })
	after := runContact(t, filepath.Join(root, "host"))
	if want := strings.ReplaceAll(program, "\n", " "); !slices.Contains(after.ForeignEtcd, want) {
		t.Errorf("there runs %q, want %q", after.ForeignEtcd, want)
	}
	if after.MachineID != before.MachineID || after.Marker != nil || after.MarkerError != "" || after.DataNotEmpty {
		t.Errorf("the host reads as %+v", after)
	}
}

// TestParseContactRefusesASecondValue: if a fact comes twice, at least one of the two is not the script's.
func TestParseContactRefusesASecondValue(t *testing.T) {
	facts := []string{
		"kernel 6.1", "machine x86_64", "time 7", "init systemd", "machine-id f00d", "boot-id b007", "no-user-namespaces yes", "first-port 0", "read-only /usr",
		"free-kib 2048", "data-free-kib 1", "marker e30=", "data yes", "root /var/stores", "end .",
		"systemd systemd 257 (257.9)", "memory-kib 1", "swap-kib 1", "cpus 1", "synchronized yes", "huge-pages [never]", "cgroup 2", "selinux none",
	}
	whole := strings.Join(append([]string{"missing gzip", "missing find", "installed a", "installed b", "listen 094C", "listen 094B", "etcd /a", "etcd /b"}, facts...), "\n") + "\n"
	if _, err := parseContact(whole, nil); err != nil {
		t.Fatal(err)
	}
	for _, fact := range facts {
		key, _, _ := strings.Cut(fact, " ")
		for _, output := range []string{fact + "\n" + whole, whole + fact + "\n", key + " other\n" + whole} {
			if contact, err := parseContact(output, nil); err == nil {
				t.Errorf("%s twice was read as %+v, %v", key, contact, err)
			}
		}
	}
}

func TestParseContactRefusesWhatItDidNotAskFor(t *testing.T) {
	for _, output := range []string{"", "Welcome to this host!\n", "kernel 6.1\nmachine x86_64\n", "free-kib lots\nend .\n", "data-free-kib lots\nend .\n", "first-port none\nend .\n", "time noon\nend .\n"} {
		if contact, err := parseContact(output, nil); err == nil {
			t.Errorf("%q was read as %+v", output, contact)
		}
	}
}
