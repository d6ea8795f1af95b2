package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"go.etcd.io/etcd/api/v3/version"
)

// commit is the last commit that touched what the store is built from. The linker sets it.
var commit = "unknown"

// build describes this binary.
type build struct {
	Etcd         string `json:"etcd"`
	Commit       string `json:"commit"`
	Go           string `json:"go"`
	Architecture string `json:"architecture"`
}

func thisBuild() build {
	return build{Etcd: version.Version, Commit: commit, Go: runtime.Version(), Architecture: runtime.GOARCH}
}

func (b build) String() string {
	return fmt.Sprintf("etcd         %s\ncommit       %s\ngo           %s\narchitecture %s\n", b.Etcd, b.Commit, b.Go, b.Architecture)
}

func printJSON(b build) int {
	if err := json.NewEncoder(os.Stdout).Encode(b); err != nil {
		fmt.Fprintln(os.Stderr, "store version:", err)
		return exitFailed
	}
	return exitDone
}
