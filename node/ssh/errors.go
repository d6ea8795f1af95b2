package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Errors by which callers decide. Every error of Pool.Connect and Client.Run of such a kind matches it with errors.Is;
// errors of the context are passed on beside them.
var (
	// ErrUnreachable: no SSH connection could be made. Nothing else is known about the host.
	ErrUnreachable = errors.New("unreachable over SSH")

	// ErrHostKeyUnknown: nothing in the configuration vouches for the key that the host presented.
	ErrHostKeyUnknown = errors.New("host key unknown")

	// ErrHostKeyMismatch: the host presented another key than the known one, a revoked key, or an invalid certificate.
	ErrHostKeyMismatch = errors.New("host key mismatch")

	// ErrAuth: the host is the right one, and refuses the login.
	ErrAuth = errors.New("login refused")

	// ErrBastion: the bastion cannot be reached, does not let this user in, or refuses to forward. Nothing is known of
	// the host behind it.
	ErrBastion = errors.New("the bastion lets nobody through")

	// ErrDisconnected: the connection ended while a command ran. Whether the command succeeded or still runs is
	// unknown.
	ErrDisconnected = errors.New("connection lost")
)

// bastionError is an error of the bastion. It says what it wraps, and is ErrBastion too.
type bastionError struct{ error }

func (e bastionError) Unwrap() error        { return e.error }
func (e bastionError) Is(target error) bool { return target == ErrBastion }

// ExitError is the error of a command that ran to its end and failed, over a connection that held.
type ExitError struct {
	Host    string // as Target.String gives it
	Command string // its name, or the line that ran, shortened
	Status  int    // exit status, 1 to 255; with a signal, 128 and its number, or 128 where that is unknown
	Signal  string // name without SIG: TERM, KILL; empty: it exited by itself
	Stderr  string // its last 64 KiB; begins with "..." if more came before
}

// Error names host, command and status, and cites the last lines of stderr.
func (e *ExitError) Error() string {
	how := fmt.Sprintf("exit status %d", e.Status)
	if e.Signal != "" {
		how = "killed by SIG" + e.Signal
	}
	text := fmt.Sprintf("%s: %s: %s", e.Host, e.Command, how)
	if said := lastLines(e.Stderr, 5); said != "" {
		text += ": " + said
	}
	return text
}

// contextError returns the error of a context that has ended, with its cause.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// lastLines returns up to n last lines of a text, without surrounding space.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// brief shortens a command line for an error: its first line, up to 80 characters.
func brief(line string) string {
	first, _, more := strings.Cut(strings.TrimSpace(line), "\n")
	if runes := []rune(first); len(runes) > 80 {
		first, more = string(runes[:80]), true
	}
	if more {
		first += "..."
	}
	return first
}
