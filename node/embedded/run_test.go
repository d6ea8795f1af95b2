package embedded

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestStoresRun runs the stores that are embedded for this machine. Each is the etcd that its name says, and answers
// the provider's calls.
func TestStoresRun(t *testing.T) {
	l, err := Built()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range l.Stores() {
		if runtime.GOOS != "linux" || s.Architecture != runtime.GOARCH {
			continue
		}
		t.Run(s.EtcdVersion, func(t *testing.T) {
			store := unpacked(t, l, s)
			var build struct{ Etcd, Architecture string }
			text := run(t, exec.Command(store, "version", "--json"))
			if err := json.Unmarshal([]byte(text), &build); err != nil || build.Etcd != s.EtcdVersion || build.Architecture != s.Architecture {
				t.Errorf("it says that it is %s, %v", text, err)
			}
			for name, argument := range map[string]string{"etcd": "--version", "etcdctl": "version", "etcdutl": "version"} {
				link := filepath.Join(filepath.Dir(store), name)
				if err := os.Symlink(store, link); err != nil {
					t.Fatal(err)
				}
				if first, _, _ := strings.Cut(run(t, exec.Command(link, argument)), "\n"); !strings.HasSuffix(first, " "+s.EtcdVersion) {
					t.Errorf("%s says %q", name, first)
				}
			}
			if answer := tried(t, store); answer.Error == nil || answer.Error.Code != api.CodeRefused {
				t.Errorf("it answers %+v", answer)
			}
		})
	}
}

// unpacked unpacks a store into a directory of its own.
func unpacked(t *testing.T, l *Library, s Store) string {
	t.Helper()
	archive, err := l.Archive(s.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	binary, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// tried asks a store to try one that is not installed, which changes nothing and needs no systemd.
func tried(t *testing.T, store string) api.Line {
	t.Helper()
	body, err := json.Marshal(api.TryRequest{Store: strings.Repeat("ee", 32)})
	if err != nil {
		t.Fatal(err)
	}
	request, err := json.Marshal(api.Request{Version: api.Version, Operation: api.OpTry, Cluster: "no-such-cluster", Body: body})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(store, "call")
	command.Stdin = bytes.NewReader(append(request, '\n'))
	text, err := command.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var answer api.Line
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("it answers %q, %v", text, err)
	}
	return answer
}

// run runs a program that has to succeed, and returns its output.
func run(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	command.Stderr = &stderr
	text, err := command.Output()
	if err != nil {
		t.Fatalf("%q: %v: %s%s", command.Args, err, text, stderr.String())
	}
	return string(text)
}
