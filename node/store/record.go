package main

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// record records how far the database of a member that has ended had come, for the guard to compare with.
func record(cluster string) int {
	if !api.ClusterName.MatchString(cluster) {
		fmt.Fprintf(os.Stderr, "store: %q is no name of a cluster\n", cluster)
		return exitUsage
	}
	syscall.Umask(0o022)
	machine, err := thisMachine()
	if err == nil {
		err = machine.Record(context.Background(), cluster)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "store record:", err)
		return exitFailed
	}
	return exitDone
}
