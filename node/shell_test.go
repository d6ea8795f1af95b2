package node

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh/sshtest"
)

// awkward is a script with everything that some shell treats specially.
const awkward = `printf '%s|' "it's" 'a!b' '!!' "back\\slash" 'per%cent' '\0' '~' '{a,b}' '[x]*' '$HOME' '` + "`id`" + `' "ünï" '^a^b' '#c'
# a comment's quote
read -r line
printf '%s\n' "$line"; exit 7`

// awkwardly is the output of that script if the shell has passed it on unchanged.
const awkwardly = `it's|a!b|!!|back\slash|per%cent|\0|~|{a,b}|[x]*|$HOME|` + "`id`|ünï|^a^b|#c|input\n"

// TestLineForAnyShell holds that login shells that are no POSIX shells run scripts unchanged: those installed on this
// machine, and one that only splits words.
func TestLineForAnyShell(t *testing.T) {
	command, _ := sudo{}.wrap(awkward, nil)
	words := strings.Split(command, "'")
	if len(words) != 5 || words[0] != "exec sh -c " || words[2] != " sh " || words[4] != "" {
		t.Errorf("the line is more than sh and two quoted words: %s", command)
	}
	if rest := strings.ReplaceAll(words[3], `\0`, ""); strings.ContainsAny(rest, "\n!\\") {
		t.Errorf("the script is not spelled plainly: %s", command)
	}
	for shell, args := range map[string][]string{
		"sh": {"-c"}, "bash": {"-c"}, "dash": {"-c"}, "zsh": {"-c"}, "csh": {"-c"}, "bsd-csh": {"-c"}, "tcsh": {"-c"}, "fish": {"-c"},
		"perl": {"-MText::ParseWords", "-e", "exec grep { $_ ne 'exec' } shellwords($ARGV[0])"},
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip(err)
			}
			run := exec.Command(path, append(args, command)...)
			run.Stdin = strings.NewReader("input\n")
			run.Env = append(os.Environ(), "HOME="+t.TempDir())
			output, err := run.CombinedOutput()
			var exit *exec.ExitError
			if string(output) != awkwardly || !errors.As(err, &exit) || exit.ExitCode() != 7 {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

// TestLoginShellThatRunsNothing holds that the first contact explains why a user who can log in can run nothing.
func TestLoginShellThatRunsNothing(t *testing.T) {
	for name, test := range map[string]struct {
		stdout, stderr string
		want           []string
	}{
		"nologin": {"This account is currently not available.\n", "", []string{"This account is currently not available.", "chsh -s /bin/sh"}},
		"python":  {"", "  File \"<string>\", line 1\nSyntaxError: invalid syntax\n", []string{"SyntaxError", "chsh -s /bin/sh"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := sshtest.Start(t, sshtest.Config{Handler: func(_ context.Context, s *sshtest.Session) sshtest.Exit {
				_, _ = io.WriteString(s.Stdout, test.stdout)
				_, _ = io.WriteString(s.Stderr, test.stderr)
				return sshtest.Exit{Status: 1}
			}})
			pool := ssh.NewPool(ssh.Options{})
			defer pool.Close()
			n := New(pool, server.Target(), secret.Text{}, nil)
			_, err := n.Contact(t.Context(), "prod", api.ObserveRequest{DataDir: "/var/lib/etcd/prod"})
			var exit *ssh.ExitError
			if !errors.As(err, &exit) {
				t.Fatal(err)
			}
			for _, text := range append(test.want, "the login shell of user", "ssh.user") {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("it does not say %q: %v", text, err)
				}
			}
		})
	}
}
