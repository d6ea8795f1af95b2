package units

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Runner runs a program of the host to its end, and returns what the program wrote to stdout.
type Runner func(ctx context.Context, name string, args ...string) ([]byte, error)

// outputDelay is how long the children of a program that has ended may hold its output open. Output that was written is
// read at once, however busy the host is.
const outputDelay = 10 * time.Second

// Exec is the Runner that runs real programs. An error holds what the program wrote to stderr.
func Exec(ctx context.Context, name string, args ...string) ([]byte, error) {
	return execute(ctx, outputDelay, name, args...)
}

// execute runs a program as Exec does. It fails if the program's children hold its output open for longer than delay:
// they may outlive the program and the context.
func execute(ctx context.Context, delay time.Duration, name string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, name, args...)
	command.WaitDelay = delay
	// The store parses messages in English.
	command.Env = append(command.Environ(), "LC_ALL=C")
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}
