package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// source is a checkout that stores are built from.
type source struct {
	root   string // directory of go.mod
	minors []minor
}

// findSource finds the checkout around the working directory.
func findSource(ctx context.Context) (source, error) {
	module, err := output(ctx, "", "go", "env", "GOMOD")
	if err != nil {
		return source{}, err
	}
	s := source{root: filepath.Dir(module)}
	s.minors, err = findMinors(ctx, s.root)
	return s, err
}

// sources are the files that every store is compiled from, as git names paths. A change of a test changes no store, and
// a change of one minor version's modules changes no other store.
var sources = []string{"node/store/*.go", "node/host", "node/api", "node/backup/*.go", "node/durable", "templates/systemd", ":(exclude)*_test.go", ":(exclude)*/testdata/*"}

// lastCommit names the last commit that changed what the stores of a minor version are built from, for `store version`;
// unknown outside a git checkout.
func (s source) lastCommit(ctx context.Context, m minor) string {
	inputs := append([]string{"--", m.modfile, m.sumfile()}, sources...)
	commit, err := output(ctx, s.root, "git", append([]string{"log", "-1", "--format=%H"}, inputs...)...)
	if err != nil || commit == "" {
		return "unknown"
	}
	changes, err := output(ctx, s.root, "git", append([]string{"status", "--porcelain"}, inputs...)...)
	if err != nil || changes != "" {
		return commit + "-changed"
	}
	return commit
}

// compile builds the store of a minor version for one architecture, and has it name a commit. Nothing of the machine,
// the directory or the builder's settings goes into the store.
func (s source) compile(ctx context.Context, m minor, commit, architecture, to string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.commit=" + commit, "-o", to}, m.flags()...)
	command := exec.CommandContext(ctx, "go", append(args, "./node/store")...)
	command.Dir = s.root
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+architecture, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=")
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("compile etcd %s for linux/%s: %w", m.etcd, architecture, err)
	}
	return nil
}

// output runs a program in a directory and returns what it prints.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	var stderr bytes.Buffer
	command := exec.CommandContext(ctx, name, args...)
	command.Dir, command.Stderr = dir, &stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
