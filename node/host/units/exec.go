package units

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Runner runs a program of the host to its end, and returns what it wrote to stdout.
type Runner func(ctx context.Context, name string, args ...string) ([]byte, error)

// outputDelay is how long a program that has ended may have its output held open by its children. Output that has been
// written is read at once, however busy the host is.
const outputDelay = 10 * time.Second

// Exec is the Runner that really runs programs. An error holds what the program wrote to stderr.
func Exec(ctx context.Context, name string, args ...string) ([]byte, error) {
	return execute(ctx, outputDelay, name, args...)
}

// execute does what Exec does, and fails where children of the program hold its output for longer than delay: they
// outlive the program, and the context too.
func execute(ctx context.Context, delay time.Duration, name string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, name, args...)
	command.WaitDelay = delay
	// Messages that are read here are read in English.
	command.Env = append(command.Environ(), "LC_ALL=C")
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}
