package node

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// as runs a script through sudo's wrapping, with fakes of id and sudo: uid is the user's ID, and sudoScript is what
// sudo does.
func as(t *testing.T, s sudo, uid, sudoScript, stdin string) (printed string, err error) {
	t.Helper()
	bin := t.TempDir()
	for name, script := range map[string]string{"id": "echo " + uid, "sudo": sudoScript} {
		if script == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	line, input := s.wrap(`printf 'ran with %s, read ' "${how:-nothing}"; cat`, strings.NewReader(stdin))
	if !s.password.IsEmpty() && strings.Contains(line, s.password.Reveal()) {
		t.Errorf("the password is an argument: %s", line)
	}
	command := exec.Command("/bin/sh", "-c", line)
	command.Env = []string{"PATH=" + bin + ":/nowhere:" + filepath.Dir(mustFind(t, "cat"))}
	if sudoScript == "" { // this machine's sudo must not be found either
		if err := os.Symlink(mustFind(t, "cat"), filepath.Join(bin, "cat")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(mustFind(t, "sh"), filepath.Join(bin, "sh")); err != nil {
			t.Fatal(err)
		}
		command.Env = []string{"PATH=" + bin}
	}
	command.Stdin = input
	output, err := command.Output()
	return string(output), err
}

func mustFind(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// What sudo does with different sudoers.
const (
	asksNothing = `while [ "${1#-}" != "$1" ]; do [ "$1" != -p ] || shift; shift; done; how=sudo; export how; exec "$@"`

	asksPassword = `for a; do [ "$a" != -n ] || { echo "sudo: a password is required" >&2; exit 1; }; done
IFS= read -r given
[ "$given" = "right & proper" ] || { echo "sudo: 1 incorrect password attempt" >&2; exit 1; }
` + asksNothing
)

func TestSudo(t *testing.T) {
	const password = "right & proper"
	for name, test := range map[string]struct {
		password, uid, sudo string
		want                string // empty: the script fails
	}{
		"root":                              {"", "0", asksPassword, "ran with nothing, read input"},
		"root with a password that is idle": {password, "0", asksPassword, "ran with nothing, read input"},
		"without a password":                {"", "1000", asksNothing, "ran with sudo, read input"},
		"with one that is not asked for":    {password, "1000", asksNothing, "ran with sudo, read input"},
		"with the password":                 {password, "1000", asksPassword, "ran with sudo, read input"},
		"with a wrong one":                  {"wrong", "1000", asksPassword, ""},
		"with none, and it is asked for":    {"", "1000", asksPassword, ""},
		"there is none":                     {"", "1000", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			printed, err := as(t, sudo{password: secret.New(test.password)}, test.uid, test.sudo, "input")
			if (err == nil) != (test.want != "") || printed != test.want {
				t.Errorf("it printed %q (%v), want %q", printed, err, test.want)
			}
		})
	}
}

// TestSudoWithoutInput: a script without input reads nothing, and not the password either.
func TestSudoWithoutInput(t *testing.T) {
	_, input := sudo{password: secret.New("secret")}.wrap("true", nil)
	text, err := io.ReadAll(input)
	if err != nil || string(text) != "secret\n" {
		t.Errorf("it is given %q, %v", text, err)
	}
}
