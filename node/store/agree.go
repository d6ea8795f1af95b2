package main

import (
	"fmt"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/agree"
)

// runAgree has a log count as agreed on, for a recovery, which is a process of root's.
func runAgree() int {
	if err := agree.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return exitDone
}
