package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// line is a minor version of etcd, with the versions of all modules that stores of it are built with. All
// lines are built from the same source.
type line struct {
	etcd    string // its patch: 3.6.16
	modfile string // the module file that asks for it, below the root of the checkout
	tag     string // build tag of what only this line is compiled with; empty for the newest
}

// newest is the line that the checkout's own module asks for. Older ones have module files of their own
// beside the store's source: lines of etcd are one module path, and a module file holds a path once.
const newest = "go.mod"

var olderFile = regexp.MustCompile(`^etcd-([0-9]+\.[0-9]+)\.mod$`)

// findLines are the lines that a checkout builds stores of, beginning with its own module's.
func findLines(ctx context.Context, root string) ([]line, error) {
	lines := []line{{modfile: newest}}
	files, err := filepath.Glob(filepath.Join(root, "node", "store", "*.mod"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		parts := olderFile.FindStringSubmatch(filepath.Base(file))
		if parts == nil {
			return nil, fmt.Errorf("%s is no line's module file: want etcd-LINE.mod", file)
		}
		lines = append(lines, line{modfile: "node/store/" + filepath.Base(file), tag: "etcd" + parts[1]})
	}
	for i := range lines {
		l := &lines[i]
		args := append([]string{"list"}, l.flags()...)
		version, err := output(ctx, root, "go", append(args, "-m", "-f", "{{.Version}}", "go.etcd.io/etcd/server/v3")...)
		if err != nil {
			return nil, err
		}
		l.etcd = strings.TrimPrefix(version, "v")
		if l.tag != "" && !strings.HasPrefix("etcd"+l.etcd, l.tag+".") {
			return nil, fmt.Errorf("%s asks for etcd %s, which is of another line", l.modfile, l.etcd)
		}
	}
	return lines, nil
}

// sumfile is where the go command keeps the checksums that belong to the module file.
func (l line) sumfile() string { return strings.TrimSuffix(l.modfile, ".mod") + ".sum" }

// flags have the go command build this line.
func (l line) flags() []string {
	if l.modfile == newest {
		return nil
	}
	return []string{"-modfile=" + l.modfile, "-tags=" + l.tag}
}
