package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// makerOf names the lab that this test binary is to boot, in a process of its own that is about to be killed.
const makerOf = "ETCD_LAB_TEST_MAKER_OF"

func TestMain(m *testing.M) {
	Main()
	if name := os.Getenv(makerOf); name != "" {
		beMaker(name)
		return
	}
	os.Exit(m.Run())
}

// beMaker boots a lab and waits to be killed.
func beMaker(name string) {
	l, err := Up(context.Background(), Config{Name: name, Hosts: []HostConfig{
		{Name: "a", DeviceBytes: 1 << 20, SmallUsr: 1 << 20}, {Name: "b"},
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := os.WriteFile(l.upFile(), nil, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	time.Sleep(patience)
}

// upFile is how a maker that is about to be killed says that its lab is up.
func (l *Lab) upFile() string { return filepath.Join(l.dir, "up") }

// TestKilled kills makers of labs at all stages of their work: their keepers end the labs, and where those are
// killed too, the next lab to come does.
func TestKilled(t *testing.T) {
	t.Parallel()
	machine(t)
	for name, keepers := range map[string]bool{"alone": true, "with their keepers": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killedAtEveryStage(t, keepers)
		})
	}
}

func killedAtEveryStage(t *testing.T, keepers bool) {
	stages := map[string]func(*Lab) string{ // what there is when the maker is killed
		"dir":    func(l *Lab) string { return l.dir },
		"saved":  func(l *Lab) string { return l.dir + "/lab.json" },
		"keys":   func(l *Lab) string { return l.dir + "/user-ca.pub" },
		"bridge": func(l *Lab) string { return "/run/netns/" + l.Namespace() },
		"disk":   func(l *Lab) string { return l.dir + "/a/disk" },
		"netns":  func(l *Lab) string { return "/run/netns/" + l.Namespace() + ".a" },
		"mount":  func(l *Lab) string { return l.dir + "/a/root/etc" },
		"group":  func(l *Lab) string { return newHost(l, HostConfig{Name: "a"}, 0, "").cgroup() },
		"up":     func(l *Lab) string { return l.upFile() },
	}
	var dead []*Lab
	t.Run("makers", func(t *testing.T) {
		i := 0
		for name, file := range stages {
			l := newLab(labName(fmt.Sprintf("%c%d", map[bool]rune{true: 'k', false: 'm'}[keepers], i)))
			i++
			dead = append(dead, l)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				maker := exec.Command(os.Args[0])
				maker.Env = append(os.Environ(), makerOf+"="+l.Name)
				maker.Stderr = os.Stderr
				must(t, maker.Start())
				for start := time.Now(); !exists(file(l)) && time.Since(start) < patience; {
					time.Sleep(time.Millisecond)
				}
				reached := exists(file(l))
				if !keepers {
					killKeeper(t, l.Name)
				}
				must(t, maker.Process.Kill())
				if err := maker.Wait(); err == nil || !reached {
					t.Errorf("killed as there is %s: it was not, but ended: %v", file(l), err)
				}
			})
		}
	})
	if keepers {
		for _, l := range dead {
			becomes(t, "nothing is left of lab "+l.Name, func() bool { return len(traces(t, l.Name)) == 0 })
		}
		return
	}
	next := up(t, Config{Name: labName("n"), Hosts: []HostConfig{{Name: "a"}}})
	for _, l := range dead {
		if left := traces(t, l.Name); len(left) > 0 {
			t.Errorf("once lab %s was up, there is still of lab %s: %q", next.Name, l.Name, left)
		}
	}
}

// killKeeper kills the keeper of a lab, if it has one yet.
func killKeeper(t *testing.T, name string) {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	must(t, err)
	for _, file := range environments {
		text, _ := os.ReadFile(file)
		if !slices.Contains(strings.Split(string(text), "\x00"), keeperOf+"="+name) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		must(t, err)
		must(t, syscall.Kill(pid, syscall.SIGKILL))
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
