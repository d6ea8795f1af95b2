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
// A call is finished even if the caller is gone: a lost connection must not end a call between two of its writes.
func answerCall() int {
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	syscall.Umask(0o022) // the login may have another one, and all users may read the host's directories
	// The PATH of non-interactive logins, and of sudo without a secure_path, may lack the directories of administration
	// tools.
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

// thisMachine returns the machine that this store runs on.
func thisMachine() (*host.Machine, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this store's own binary: %w", err)
	}
	return host.New(version.Version, binary), nil
}
