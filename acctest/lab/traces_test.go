package lab

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// traces are all that bears the name of a lab on this machine: processes, mounts, loop devices, network
// namespaces, control groups and files. Other labs may come and go meanwhile.
func traces(t *testing.T, name string) []string {
	t.Helper()
	var found []string
	below := filepath.Join(stateDir(), "labs", name)
	namespace := "etcdlab-" + name
	mine := func(text string) bool {
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\x00=,:()", r) }) {
			base := filepath.Base(word)
			if word == below || strings.HasPrefix(word, below+"/") || base == namespace || strings.HasPrefix(base, namespace+".") ||
				strings.Contains(word, "/"+namespace+".") {
				return true
			}
		}
		return false
	}
	for _, command := range [][]string{{"cat", "/proc/self/mounts"}, {"ip", "netns", "list"}, {"losetup", "--noheadings", "--list", "--output=NAME,BACK-FILE"}} {
		text, err := output(command[0], command[1:]...)
		must(t, err)
		for line := range strings.Lines(text) {
			if mine(line) {
				found = append(found, command[0]+": "+line)
			}
		}
	}
	for _, dir := range []string{"/run/netns", "/run/systemd/nspawn", "/sys/fs/cgroup", filepath.Join(stateDir(), "labs")} {
		// What others end meanwhile is not there to be walked.
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && mine(path) {
				found = append(found, path)
				if entry.IsDir() {
					return fs.SkipDir
				}
			}
			return nil
		})
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	for _, process := range processes {
		line, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		groups, _ := os.ReadFile(filepath.Join(process, "cgroup"))
		if len(line) == 0 {
			continue // it has ended, and waits for the machine's PID 1 to take note
		}
		if mine(string(line)) || mine(string(groups)) {
			found = append(found, process+": "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// kinds are the kinds of traces there are, for a test that looks whether traces sees them all.
func kinds(traces []string) []string {
	var kinds []string
	for _, trace := range traces {
		kind, _, _ := strings.Cut(strings.TrimPrefix(trace, "/"), "/")
		if before, _, found := strings.Cut(trace, ":"); found && !strings.HasPrefix(trace, "/") {
			kind = before
		}
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
