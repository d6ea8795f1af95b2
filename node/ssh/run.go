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

// stderrLimit is how much of the end of stderr an ExitError holds, in bytes.
const stderrLimit = 64 << 10

// hangupPatience bounds the wait for the network to take the signal of a command that is given up.
const hangupPatience = time.Second

// Command is one command line on a host.
type Command struct {
	Line   string    // for the user's login shell; Quote makes one from arguments
	Name   string    // what errors call it; empty: the line, shortened
	Stdin  io.Reader // nil: empty. Read up to its end, or up to a little beyond what the command takes
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
	for {
		if err := c.sessions.acquire(ctx, c.done); err != nil {
			return nil, c.notOpened(err)
		}
		session, err := c.openSession(ctx)
		if err == nil {
			return session, nil
		}
		var refusal *gossh.OpenChannelError
		retry := errors.As(err, &refusal) && c.sessions.refused()
		c.sessions.release()
		if !retry {
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

// notStarted is a command line that the host was asked to run, and did not say that it would.
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

// outcome tells the ways apart in which a session can come to its end.
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
	// A host may send the status of a command before the last of its output. Only while the
	// connection stands is it certain that the output is whole.
	case errors.As(err, &noStatus), !c.alive():
		return c.disconnected(cmd)
	case errors.Is(err, io.EOF):
		return nil // it succeeded without reading all of its input
	case err != nil: // that of a writer
		return fmt.Errorf("%s: %s: %w", c.name, cmd.name(), err)
	}
	return nil
}

// hangUp asks the host to end a command whose end is not waited for.
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

// givenUp says why a command was not waited for: the caller's context, or a stream of the caller's.
func (c *Client) givenUp(ctx, running context.Context, cmd Command) error {
	err := context.Cause(running)
	if ctx.Err() != nil {
		err = ended(ctx)
	}
	return fmt.Errorf("%s: %s: was told to stop, whether it has is unknown: %w", c.name, cmd.name(), err)
}

// Quote renders arguments as one line for a POSIX shell, which reads back exactly these arguments:
// no character in them means anything to it. An empty argument stays one.
func Quote(argv ...string) string {
	words := make([]string, len(argv))
	for i, arg := range argv {
		words[i] = quoteWord(arg)
	}
	return strings.Join(words, " ")
}

// plain are the characters that mean nothing to a shell wherever in a word they stand. '=' and '~'
// are left out: A=b before a command is an assignment, and ~ is somebody's home.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,@%+"

func quoteWord(arg string) string {
	if arg != "" && strings.Trim(arg, plain) == "" {
		return arg
	}
	// Nothing is special between single quotes but their end, so a quote is put outside of them.
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}
