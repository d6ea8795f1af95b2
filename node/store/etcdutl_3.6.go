//go:build etcd3.6

package main

import "github.com/spf13/cobra"

// addTimeout adds nothing: etcdutl 3.6 waits for the file lock as long as it takes.
func addTimeout(*cobra.Command) {}
