package main

import (
	"fmt"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// guard says in the journal why a member must not be started, where it must not.
func guard(cluster string) int {
	if !api.ClusterName.MatchString(cluster) {
		fmt.Fprintf(os.Stderr, "store guard: %q is no name of a cluster\n", cluster)
		return exitUsage
	}
	machine, err := thisMachine()
	if err == nil {
		err = machine.Guard(cluster)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "not started:", err)
		return api.GuardStatus
	}
	return exitDone
}
