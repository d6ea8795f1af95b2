package node

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// sudo runs a command as root: directly if the user is root, and through sudo otherwise.
type sudo struct {
	password secret.Text // empty: none is needed
}

// exitNoSudo is the exit status by which the lines below say that sudo is not installed.
const exitNoSudo = 98

// wrap turns a script into a command line for the user's login shell. It puts the password, which must never be an
// argument, before the script's input. The login shell need not be a POSIX shell: csh and fish, too, start sh with
// words in single quotes, in which there is nothing that any shell treats specially.
//
// sudo reads a password from stdin only if it needs one, and would otherwise leave the password's line to the script.
// So the line first tests whether sudo needs one, ignoring cached credentials, and if not reads the password away.
func (s sudo) wrap(script string, stdin io.Reader) (string, io.Reader) {
	script = "script=" + ssh.Quote(script)
	if s.password.IsEmpty() {
		return line(script + withoutPassword), stdin
	}
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	return line(script + withPassword), io.MultiReader(strings.NewReader(s.password.Reveal()+"\n"), stdin)
}

// line returns a command line that has sh run a script, and spells the script in plain characters. Within single quotes
// csh ends at a newline and expands "!", fish treats a backslash specially, and each has its own way to write a quote.
func line(script string) string {
	var spelled strings.Builder
	for _, b := range []byte(script) {
		if strings.IndexByte("\n'\\!", b) >= 0 || b >= 0x80 {
			fmt.Fprintf(&spelled, `\0%03o`, b) // as printf %b reads it
			continue
		}
		spelled.WriteByte(b)
	}
	return `exec sh -c 'eval "$(printf %b "$1")"' sh '` + spelled.String() + "'"
}

// withoutPassword and withPassword are lines that run $script as root.
const (
	withoutPassword = `
[ "$(id -u)" != 0 ] || exec sh -c "$script"
command -v sudo >/dev/null 2>&1 || exit 98
exec sudo -n sh -c "$script"`

	withPassword = `
if [ "$(id -u)" = 0 ]; then read -r _; exec sh -c "$script"; fi
command -v sudo >/dev/null 2>&1 || exit 98
if sudo -k -n true 2>/dev/null; then read -r _; exec sudo -n sh -c "$script"; fi
exec sudo -k -S -p '' sh -c "$script"`
)

// explain turns a refusal by sudo into an error that says what to set.
func (s sudo) explain(user string, err error) error {
	var exit *ssh.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	switch {
	case exit.Status == exitNoSudo:
		return fmt.Errorf("user %s is not root and sudo is not installed: install sudo there, or log in as root: %w", user, err)
	case !strings.Contains(exit.Stderr, "sudo:"):
		return err
	case !s.password.IsEmpty():
		return fmt.Errorf("sudo refused user %s with the password of ssh.sudo_password: check the password, and that sudoers allows all commands: %w", user, err)
	}
	return fmt.Errorf("sudo refused user %s without a password: set ssh.sudo_password, or a NOPASSWD rule in sudoers: %w", user, err)
}
