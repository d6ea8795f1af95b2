package units

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Runner runs a program of the host to its end, and returns what it wrote to stdout.
type Runner func(ctx context.Context, name string, args ...string) ([]byte, error)

// Exec is the Runner that really runs programs. An error holds what the program wrote to stderr.
func Exec(ctx context.Context, name string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, name, args...)
	// Messages that are read here are read in English.
	command.Env = append(command.Environ(), "LC_ALL=C")
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}
