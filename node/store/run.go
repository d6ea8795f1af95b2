package main

import (
	"fmt"
	"os"
	"strings"

	"go.etcd.io/etcd/server/v3/etcdmain"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// runMember turns this process into the member of a cluster, if the guard lets it. It returns only
// where that fails.
func runMember(cluster string) int {
	if status := guard(cluster); status != exitDone {
		return status
	}
	text, err := os.ReadFile(api.FlagsFile(cluster))
	if err != nil {
		fmt.Fprintf(os.Stderr, "store run: read the member's flags: %s; apply again\n", err)
		return exitFailed
	}
	if err := forgetVariables(); err != nil {
		fmt.Fprintln(os.Stderr, "store run:", err)
		return exitFailed
	}
	etcdmain.Main(append([]string{"etcd"}, arguments(string(text))...))
	return exitDone
}

// forgetVariables takes etcd's variables out of the environment. The flags file is all that a member
// runs by; a variable would come in unseen.
func forgetVariables() error {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "ETCD_") {
			if err := os.Unsetenv(name); err != nil {
				return fmt.Errorf("unset %s: %w", name, err)
			}
		}
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
