package main

import (
	"fmt"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// guard asks whether a member may be started, and if not writes why to stderr, which is the journal. A refusal ends
// with api.GuardStatus.
func guard(cluster string) (status int, err error) {
	if !api.ClusterName.MatchString(cluster) {
		fmt.Fprintf(os.Stderr, "store: %q is no name of a cluster\n", cluster)
		return exitUsage, nil
	}
	machine, err := thisMachine()
	if err == nil {
		err = machine.Guard(cluster)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "not started:", err)
		return api.GuardStatus, err
	}
	return exitDone, nil
}
