package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/api/v3/version"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host"
)

// answerCall answers one request of the provider.
//
// What was begun is finished, also when nobody is there any more to hear of it: a lost connection
// must not end a call between two of its writes.
func answerCall() int {
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	syscall.Umask(0o022) // whatever the login's is: directories of the host are for all of its users
	// Logins that are not interactive, and sudo without a secure_path, may leave out where administration tools lie.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"); err != nil {
		fmt.Fprintln(os.Stderr, "store call:", err)
		return exitFailed
	}
	machine, err := thisMachine()
	if err != nil {
		fmt.Fprintln(os.Stderr, "store call:", err)
		return exitFailed
	}
	if !machine.Call(context.Background(), os.Stdin, os.Stdout) {
		return exitFailed
	}
	return exitDone
}

// thisMachine is the machine that this store works on.
func thisMachine() (*host.Machine, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this store's own binary: %w", err)
	}
	return host.New(version.Version, binary), nil
}
