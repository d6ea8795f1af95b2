// Build builds the stores that the provider carries, one of each minor version of etcd for each architecture, and
// puts them where it embeds them:
//
//	go run ./node/embedded/build -arch amd64,arm64
//
// The same source gives the same bytes, whoever builds it and where. What is there already is left
// alone, so that the provider is not linked anew for nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
)

func main() {
	architectures := flag.String("arch", runtime.GOARCH, "architectures to build for, as Go names them, with commas between")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := build(ctx, strings.Split(*architectures, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "build the stores:", err)
		os.Exit(1)
	}
}

// build builds a store of each minor version for each architecture, and removes all other stores. It builds one after
// another: one keeps the compiler busy, and what minor versions have in common is compiled once.
func build(ctx context.Context, architectures []string) error {
	source, err := findSource(ctx)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "etcd-store-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	dir := filepath.Join(source.root, "node", "embedded", "files")
	current := map[string]bool{}
	for _, minor := range source.minors {
		commit := source.lastCommit(ctx, minor)
		for _, architecture := range architectures {
			binary := filepath.Join(work, minor.etcd+"-"+architecture)
			if err := source.compile(ctx, minor, commit, architecture, binary); err != nil {
				return err
			}
			name, err := place(binary, minor.etcd, architecture, dir)
			if err != nil {
				return err
			}
			fmt.Println(name)
			current[name] = true
		}
	}
	return sweep(dir, current)
}

// sweep removes the stores that are not current, and what an interrupted build has left.
func sweep(dir string, current map[string]bool) error {
	stores, err := filepath.Glob(filepath.Join(dir, "*.gz*"))
	if err != nil {
		return err
	}
	for _, store := range stores {
		if !current[filepath.Base(store)] {
			if err := os.Remove(store); err != nil {
				return err
			}
		}
	}
	return nil
}
