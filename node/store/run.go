package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host"
)

// runMember turns this process into the member of a cluster, if the guard lets it. It returns only
// where that fails.
//
// It executes its own binary anew, as etcd: so the kernel holds, for as long as the member lives, the flags
// that it was started with.
func runMember(cluster string) int {
	if status := guard(cluster); status != exitDone {
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

// becomeEtcd executes this binary as etcd, with word in its environment of what it was started by. It
// returns only where that fails.
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

// arguments are the flags in a file: one a line, with blank lines and lines that begin with # for
// the reader. A line is one argument whatever it holds; nothing is quoted.
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
