package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// minor is a minor version of etcd, with the versions of all modules that its stores are built with. All minor versions
// are built from the same source.
type minor struct {
	etcd    string // its patch version: 3.6.16
	modfile string // the module file that requires it, below the root of the checkout
	tag     string // build tag of the files for this minor version alone; empty for the newest
}

// newest is the module file of the newest minor version, the checkout's own. Older ones have module files of their own
// beside the store's source: all versions of etcd 3 share a module path, and a module file has each path once.
const newest = "go.mod"

var olderFile = regexp.MustCompile(`^etcd-([0-9]+\.[0-9]+)\.mod$`)

// findMinors returns the minor versions that a checkout builds stores of, beginning with its own module's.
func findMinors(ctx context.Context, root string) ([]minor, error) {
	minors := []minor{{modfile: newest}}
	files, err := filepath.Glob(filepath.Join(root, "node", "store", "*.mod"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		parts := olderFile.FindStringSubmatch(filepath.Base(file))
		if parts == nil {
			return nil, fmt.Errorf("%s is no module file of a minor version: want etcd-MINOR.mod", file)
		}
		minors = append(minors, minor{modfile: "node/store/" + filepath.Base(file), tag: "etcd" + parts[1]})
	}
	for i := range minors {
		m := &minors[i]
		args := append([]string{"list"}, m.flags()...)
		version, err := output(ctx, root, "go", append(args, "-m", "-f", "{{.Version}}", "go.etcd.io/etcd/server/v3")...)
		if err != nil {
			return nil, err
		}
		m.etcd = strings.TrimPrefix(version, "v")
		if m.tag != "" && !strings.HasPrefix("etcd"+m.etcd, m.tag+".") {
			return nil, fmt.Errorf("%s asks for etcd %s, which is of another minor version", m.modfile, m.etcd)
		}
	}
	return minors, nil
}

// sumfile is the file in which the go command keeps the checksums for the module file.
func (m minor) sumfile() string { return strings.TrimSuffix(m.modfile, ".mod") + ".sum" }

// flags are the flags with which the go command builds this minor version.
func (m minor) flags() []string {
	if m.modfile == newest {
		return nil
	}
	return []string{"-modfile=" + m.modfile, "-tags=" + m.tag}
}
