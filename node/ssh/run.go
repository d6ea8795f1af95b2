package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// stderrLimit is how many bytes of the end of stderr an ExitError keeps.
const stderrLimit = 64 << 10

// hangupPatience bounds the wait for the network to accept the signal to a command that is abandoned.
const hangupPatience = time.Second

// Command is a command line to run on a host.
type Command struct {
	Line   string    // for the user's login shell; Quote makes one from arguments
	Name   string    // its name in errors; empty: the shortened line
	Stdin  io.Reader // nil: empty. Read to its end, or a little further than the command reads
	Stdout io.Writer // gets everything as it comes; nil: dropped
	Stderr io.Writer // gets everything as it comes; nil: only its end is kept, for the error
}

func (c Command) name() string {
	if c.Name != "" {
		return c.Name
	}
	return brief(c.Line)
}

// Run runs a command and waits for its end. Errors:
//
//   - *ExitError: the command failed.
//   - ErrDisconnected: the connection ended meanwhile; how far the command came is unknown.
//   - ErrUnreachable: the connection had ended before; nothing was run.
//   - that of the context: the command was sent TERM and its session closed; whether it has ended is
//     unknown. sshd passes no signals to the sessions of root, so a command that must not outlive its
//     caller has to watch for the end of its input.
//   - that of Stdin or of a writer: likewise.
//
// Once Run has returned, nothing is written to Stdout and Stderr any more. A Stdin that blocks may
// still be read once.
func (c *Client) Run(ctx context.Context, cmd Command) error {
	session, err := c.session(ctx)
	if err != nil {
		return fmt.Errorf("%s: %s: not started: %w", c.name, cmd.name(), err)
	}
	defer c.sessions.release()

	over := make(chan struct{})
	defer close(over)
	running, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)

	kept := &tail{limit: stderrLimit}
	stdout := &output{w: cmd.Stdout, fail: giveUp}
	defer stdout.end()
	stderr := &output{w: cmd.Stderr, fail: giveUp}
	defer stderr.end()
	session.Stdout, session.Stderr = stdout, io.MultiWriter(kept, stderr)
	if cmd.Stdin != nil {
		session.Stdin = &input{r: cmd.Stdin, over: over, fail: giveUp}
	}

	started, exited := make(chan error, 1), make(chan error, 1)
	go func() {
		err := session.Start(cmd.Line)
		started <- err
		if err == nil {
			exited <- session.Wait()
		}
	}()
	for {
		select {
		case err := <-started:
			if err != nil {
				return c.notStarted(err, cmd)
			}
		case err := <-exited:
			return c.outcome(err, cmd, kept)
		case <-c.done:
			return c.disconnected(cmd)
		case <-running.Done():
			c.hangUp(session)
			return c.givenUp(ctx, running, cmd)
		}
	}
}

// session waits for a place and opens a session on it; the caller releases the place.
func (c *Client) session(ctx context.Context) (*gossh.Session, error) {
	for waited := false; ; {
		again, err := c.sessions.acquire(ctx, c.done)
		if err != nil {
			return nil, c.notOpened(err)
		}
		waited = waited || again
		session, err := c.openSession(ctx)
		if err == nil {
			return session, nil
		}
		var refusal *gossh.OpenChannelError
		retry := errors.As(err, &refusal) && c.sessions.refused()
		c.sessions.release()
		switch {
		case retry:
			waited = true
		case waited && ctx.Err() != nil: // in the middle of another try
			return nil, fmt.Errorf("%w: %w", ErrNoSession, err)
		default:
			return nil, c.notOpened(err)
		}
	}
}

func (c *Client) notOpened(err error) error {
	var refusal *gossh.OpenChannelError
	switch {
	case errors.As(err, &refusal):
		return fmt.Errorf("the host opens no session: %w: look at MaxSessions and at the account's restrictions in its sshd", refusal)
	case errors.Is(err, errGone), !c.alive():
		return fmt.Errorf("%w: the connection ended: %w", ErrUnreachable, c.why())
	}
	return err
}

// notStarted explains why the host did not start a command.
func (c *Client) notStarted(err error, cmd Command) error {
	if errors.Is(err, io.EOF) || !c.alive() {
		return c.disconnected(cmd)
	}
	// The library's error repeats the whole line.
	return fmt.Errorf("%s: %s: the host refuses to run commands: look at the account's restrictions in its sshd", c.name, cmd.name())
}

func (c *Client) disconnected(cmd Command) error {
	return fmt.Errorf("%w: %s: %s: %w: how far the command came is unknown", ErrDisconnected, c.name, cmd.name(), c.why())
}

// outcome explains how a session ended.
func (c *Client) outcome(err error, cmd Command, stderr *tail) error {
	var failed *gossh.ExitError
	if errors.As(err, &failed) {
		return &ExitError{
			Host: c.name, Command: cmd.name(),
			Status: failed.ExitStatus(), Signal: failed.Signal(), Stderr: stderr.String(),
		}
	}
	var noStatus *gossh.ExitMissingError
	switch {
	// A host may send a command's status before the last of its output. The output is certainly complete only while
	// the connection stands.
	case errors.As(err, &noStatus), !c.alive():
		return c.disconnected(cmd)
	case errors.Is(err, io.EOF):
		return nil // it succeeded without reading all of its input
	case err != nil: // the error of a writer
		return fmt.Errorf("%s: %s: %w", c.name, cmd.name(), err)
	}
	return nil
}

// hangUp asks the host to end a command that is abandoned.
func (c *Client) hangUp(session *gossh.Session) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = session.Signal(gossh.SIGTERM)
		_ = session.Close()
	}()
	patience := time.NewTimer(hangupPatience)
	defer patience.Stop()
	select {
	case <-sent:
	case <-c.done:
	case <-patience.C:
	}
}

// givenUp explains why a command was abandoned: by the caller's context, or a stream of the caller's.
func (c *Client) givenUp(ctx, running context.Context, cmd Command) error {
	err := context.Cause(running)
	if ctx.Err() != nil {
		err = contextError(ctx)
	}
	return fmt.Errorf("%s: %s: was told to stop, whether it has is unknown: %w", c.name, cmd.name(), err)
}

// Quote renders arguments as one line for a POSIX shell, which reads back exactly these arguments, including empty
// ones.
func Quote(argv ...string) string {
	words := make([]string, len(argv))
	for i, arg := range argv {
		words[i] = quoteWord(arg)
	}
	return strings.Join(words, " ")
}

// plain are the characters without a meaning for a shell anywhere in a word. '=' and '~' are not among them: A=b
// before a command is an assignment, and ~ is a home directory.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,@%+"

func quoteWord(arg string) string {
	if arg != "" && strings.Trim(arg, plain) == "" {
		return arg
	}
	// Between single quotes only their end is special, so a quote is placed outside of them.
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
