package main

import (
	"fmt"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/agree"
)

// runAgree marks everything in a log as committed, for a recovery, which runs as root.
func runAgree() int {
	if err := agree.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return exitDone
}
