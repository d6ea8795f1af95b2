package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/version"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// asStore makes this test binary the store, whatever its name.
const asStore = "STORE_TEST_AS_STORE"

func TestMain(m *testing.M) {
	if os.Getenv(asStore) != "" {
		main()
		return
	}
	lab.Main()
	os.Exit(m.Run())
}

// outcome is the result of a program.
type outcome struct {
	status         int
	stdout, stderr string
}

// called runs the store under a name.
func called(t *testing.T, name string, args ...string) outcome {
	t.Helper()
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(os.Args[0], link); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	command := exec.Command(link, args...)
	command.Env = append(os.Environ(), asStore+"=1")
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func TestNamesArePrograms(t *testing.T) {
	for name, says := range map[string]string{
		"etcd":    "etcd Version: " + version.Version + "\n",
		"etcdctl": "etcdctl version: " + version.Version + "\n",
		"etcdutl": "etcdutl version: " + version.Version + "\n",
		"store":   "etcd         " + version.Version + "\n",
	} {
		argument := "version"
		if name == "etcd" {
			argument = "--version"
		}
		if got := called(t, name, argument); got.status != exitDone || !strings.HasPrefix(got.stdout, says) {
			t.Errorf("%s %s: %+v", name, argument, got)
		}
	}
}

// TestAgreeIsNotForRoot holds that the command by which a recovery writes to a log does nothing as root.
func TestAgreeIsNotForRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("is about root")
	}
	if got := called(t, "store", "agree"); got.status != exitFailed || !strings.Contains(got.stderr, "not as root") {
		t.Errorf("%+v", got)
	}
}

// TestEtcdutlHasAllOfUpstreamsCommands holds that this etcdutl has all of upstream's commands.
func TestEtcdutlHasAllOfUpstreamsCommands(t *testing.T) {
	got := called(t, "etcdutl", "help")
	for _, command := range []string{"completion", "defrag", "hashkv", "migrate", "snapshot", "version"} {
		if !strings.Contains(got.stdout, "\n  "+command) {
			t.Errorf("there is no command %s:\n%s", command, got.stdout)
		}
	}
	if got := called(t, "etcdutl", "nonsense"); got.status == exitDone {
		t.Errorf("nonsense: %+v", got)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"call", "me"}, {"run"}, {"run", "a", "b"}, {"guard"}, {"record"}, {"version", "--yaml"}} {
		if got := called(t, "store", args...); got.status != exitUsage || got.stdout != "" || !strings.HasPrefix(got.stderr, "store: runs etcd members") {
			t.Errorf("store %q: %+v", args, got)
		}
	}
	if got := called(t, "store", "polish", "main"); got.status != exitUsage || !strings.HasPrefix(got.stderr, `store: this program has no command "polish": where a unit calls it, a newer version`) || !strings.HasSuffix(got.stderr, usage) {
		t.Errorf("a command of a newer store: %+v", got)
	}
	if got := called(t, "store", "help"); got.status != exitDone || got.stdout != usage {
		t.Errorf("help: %+v", got)
	}
	for _, command := range []string{"run", "guard", "record"} {
		if got := called(t, "store", command, "../main"); got.status != exitUsage || !strings.Contains(got.stderr, "../main") {
			t.Errorf("store %s of a path: %+v", command, got)
		}
	}
}

func TestVersionAsJSON(t *testing.T) {
	got := called(t, "store", "version", "--json")
	var b build
	if err := json.Unmarshal([]byte(got.stdout), &b); err != nil || got.status != exitDone {
		t.Fatalf("%v: %+v", err, got)
	}
	if want := (build{Etcd: version.Version, Commit: commit, Go: runtime.Version(), Architecture: runtime.GOARCH}); b != want {
		t.Errorf("it is %+v, want %+v", b, want)
	}
}

// TestUnknownClusterIsNotRun holds that a leftover unit starts nothing.
func TestUnknownClusterIsNotRun(t *testing.T) {
	for _, command := range []string{"run", "guard"} {
		got := called(t, "store", command, "no-such-cluster")
		if got.status != api.GuardStatus || !strings.Contains(got.stderr, "not started: there is no "+api.MarkerFile("no-such-cluster")) {
			t.Errorf("store %s: %+v", command, got)
		}
	}
}

func TestCallAnswersInJSON(t *testing.T) {
	got := called(t, "store", "call")
	var line api.Line
	if err := json.Unmarshal([]byte(got.stdout), &line); err != nil || line.Error == nil || got.status != exitFailed || got.stderr != "" {
		t.Errorf("a call without a request: %v: %+v", err, got)
	}
}

func TestArguments(t *testing.T) {
	const file = `# written by hand
--name=a

--initial-cluster=a=https://192.0.2.11:2380,b=https://192.0.2.12:2380
  --log-outputs=/var/log/with space
--experimental="quoted"
`
	want := []string{"--name=a", "--initial-cluster=a=https://192.0.2.11:2380,b=https://192.0.2.12:2380", "--log-outputs=/var/log/with space", `--experimental="quoted"`}
	if got := arguments(file); !slices.Equal(got, want) {
		t.Errorf("they are %q, want %q", got, want)
	}
	if got := arguments(""); len(got) != 0 {
		t.Errorf("of nothing they are %q", got)
	}
}
