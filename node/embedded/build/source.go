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

// inputs are what a store is built from, as git names paths. A change of a test changes no store.
var inputs = []string{"go.mod", "go.sum", "node/store", "node/host", "node/api", "templates/systemd", ":(exclude)*_test.go", ":(exclude)*/testdata/*"}

// source is a checkout that stores are built from.
type source struct {
	root   string // directory of go.mod
	etcd   string // version of etcd that it asks for: 3.7.3
	commit string // last commit that changed what stores are built from
}

func findSource(ctx context.Context) (source, error) {
	module, err := output(ctx, "", "go", "env", "GOMOD")
	if err != nil {
		return source{}, err
	}
	s := source{root: filepath.Dir(module)}
	version, err := output(ctx, s.root, "go", "list", "-m", "-f", "{{.Version}}", "go.etcd.io/etcd/server/v3")
	if err != nil {
		return source{}, err
	}
	s.etcd = strings.TrimPrefix(version, "v")
	s.commit = lastCommit(ctx, s.root)
	return s, nil
}

// lastCommit names the commit for `store version`; unknown outside a git checkout.
func lastCommit(ctx context.Context, root string) string {
	commit, err := output(ctx, root, "git", append([]string{"log", "-1", "--format=%H", "--"}, inputs...)...)
	if err != nil || commit == "" {
		return "unknown"
	}
	changes, err := output(ctx, root, "git", append([]string{"status", "--porcelain", "--"}, inputs...)...)
	if err != nil || changes != "" {
		return commit + "-changed"
	}
	return commit
}

// compile builds the store for one architecture. Nothing of the machine, the directory or the
// builder's settings goes into it.
func (s source) compile(ctx context.Context, architecture, to string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.commit="+s.commit, "-o", to, "./node/store")
	command.Dir = s.root
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+architecture, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=")
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("compile for linux/%s: %w", architecture, err)
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
