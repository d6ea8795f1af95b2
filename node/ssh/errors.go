package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// What a caller decides by. Every error of Pool.Connect and Client.Run that is one of these says so
// through errors.Is; errors of the context are passed on beside them.
var (
	// ErrUnreachable: no SSH connection could be made. Nothing is known of the host but that.
	ErrUnreachable = errors.New("unreachable over SSH")

	// ErrHostKeyUnknown: nothing that was configured vouches for the key that the host presented.
	ErrHostKeyUnknown = errors.New("host key unknown")

	// ErrHostKeyMismatch: the host presented another key than the one that is known, a revoked key,
	// or a certificate that does not hold for it.
	ErrHostKeyMismatch = errors.New("host key mismatch")

	// ErrAuth: the host is who it should be, and does not let this user in.
	ErrAuth = errors.New("login refused")

	// ErrBastion: the bastion cannot be reached, does not let this user in, or refuses to forward. Of the host behind it nothing
	// is known.
	ErrBastion = errors.New("the bastion lets nobody through")

	// ErrDisconnected: the connection ended while a command ran. Whether the command did its work,
	// and whether it still runs, is unknown.
	ErrDisconnected = errors.New("connection lost")
)

// bastionError is an error of the bastion. It says what it wraps, and is ErrBastion too.
type bastionError struct{ error }

func (e bastionError) Unwrap() error        { return e.error }
func (e bastionError) Is(target error) bool { return target == ErrBastion }

// ExitError is a command that ran to its end and failed: the connection held.
type ExitError struct {
	Host    string // as Target.String gives it
	Command string // its name, or the line that ran, shortened
	Status  int    // exit status, 1 to 255; with a signal, 128 and its number, or 128 where that is unknown
	Signal  string // name without SIG: TERM, KILL; empty: it exited by itself
	Stderr  string // the last 64 KiB of it; begins with "..." where more came before
}

// Error gives host, command and status, and the last lines of stderr.
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

// ended is the error of a context that is over: what its callers look for, and the cause beside it.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// lastLines returns up to n last lines of a text, with no space around them.
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
