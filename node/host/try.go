package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// tryTimeout bounds a trial, which takes as long as the program takes to load.
const tryTimeout = 30 * time.Second

// Try has an installed store parse flags as etcd. With --version after them, etcd parses all of them and ends before it
// uses any of their values.
func (m *Machine) Try(ctx context.Context, r api.TryRequest) error {
	if !m.stores().IsInstalled(r.Store) {
		return refuse("store %q is not installed on this host", r.Store)
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	var said bytes.Buffer
	command := exec.CommandContext(ctx, m.path(api.InstalledStore(r.Store)), append(slices.Clone(r.Flags), "--version")...)
	command.Args[0] = "etcd"
	command.Env = MemberEnvironment(os.Environ())
	command.Stderr = &said
	err := command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return refuse("etcd of store %.12s does not take these flags: %s", r.Store, firstLine(said.String()))
	}
	if err != nil {
		return fmt.Errorf("try flags with store %s: %w: %s", r.Store, err, said.String())
	}
	return nil
}

// firstLine returns what etcd says of flags before it prints its usage.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
