package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host"
)

// diskPatience is how long a member whose disk is not mounted waits until it has systemd start it again, in a sandbox
// that sees what was mounted since. No other refusal ends by itself.
const diskPatience = 20 * time.Second

// runMember turns this process into the member of a cluster, if the guard permits it. It returns only if that fails.
//
// The process executes its own binary again, as etcd, so that the kernel keeps the member's flags as long as the member
// lives.
func runMember(cluster string) int {
	switch status, err := guard(cluster); {
	case errors.Is(err, host.ErrDiskAway):
		time.Sleep(diskPatience)
		return exitAgain
	case status != exitDone:
		return status
	}
	text, err := os.ReadFile(api.FlagsFile(cluster))
	if err != nil {
		fmt.Fprintf(os.Stderr, "store run: read the member's flags: %s; apply again\n", err)
		return exitFailed
	}
	if err := becomeEtcd(cluster, arguments(string(text))); err != nil {
		fmt.Fprintln(os.Stderr, "store run:", err)
	}
	return exitFailed
}

// becomeEtcd executes this binary as etcd, with an environment that says what it was started with. It returns only if
// that fails.
func becomeEtcd(cluster string, flags []string) error {
	machine, err := thisMachine()
	if err != nil {
		return err
	}
	word, err := machine.Started(cluster)
	if err != nil {
		return err
	}
	comparison, err := machine.Comparison(context.Background(), cluster, flags)
	if err != nil {
		return err
	}
	if err := syscall.Exec(machine.Binary, slices.Concat([]string{"etcd"}, flags, comparison), append(host.MemberEnvironment(os.Environ()), word)); err != nil {
		return fmt.Errorf("execute %s as etcd: %w", machine.Binary, err)
	}
	return nil
}

// arguments returns the flags in a file, one per line. It ignores blank lines and lines that begin with #. A line is
// one argument whatever it holds; nothing is quoted.
func arguments(text string) []string {
	var args []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			args = append(args, line)
		}
	}
	return args
}
