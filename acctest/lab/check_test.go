package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	many := func(n int) (hosts []HostConfig) {
		for i := range n {
			hosts = append(hosts, HostConfig{Name: fmt.Sprintf("h%d", i)})
		}
		return hosts
	}
	for _, test := range []struct {
		config Config
		want   string // a part of the error; empty: none
	}{
		{Config{Name: "a-b", Hosts: many(1)}, ""},
		{Config{Name: "twelve-chars", Hosts: many(40)}, ""},
		{Config{Name: "thirteen-char", Hosts: many(1)}, "thirteen-char"},
		{Config{Name: "a.b", Hosts: many(1)}, `"a.b"`},
		{Config{Name: "../a", Hosts: many(1)}, `"../a"`},
		{Config{Name: "", Hosts: many(1)}, `""`},
		{Config{Name: "a", Hosts: many(0)}, "1 to 40"},
		{Config{Name: "a", Hosts: many(41)}, "1 to 40"},
		{Config{Name: "a", Hosts: append(many(2), many(1)...)}, `"h0"`},
		{Config{Name: "a", Hosts: []HostConfig{{Name: "bastion"}}}, `"bastion"`},
		{Config{Name: "a", Hosts: []HostConfig{{Name: "A"}}}, `"A"`},
	} {
		err := test.config.check()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: %v, not %q", test.config, err, test.want)
		}
	}
}

func TestProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "owner")
	if _, alive := readProcess(file); alive {
		t.Error("alive without a file")
	}
	command := exec.Command("sleep", "60")
	must(t, command.Start())
	p, err := findProcess(command.Process.Pid)
	must(t, err)
	must(t, p.write(file))
	if got, alive := readProcess(file); !alive || got != p {
		t.Errorf("%v, %v, and not %v", got, alive, p)
	}
	must(t, process{p.pid, p.start + "0"}.write(file))
	if _, alive := readProcess(file); alive {
		t.Error("a later process of the same ID is taken for it")
	}
	must(t, p.write(file))
	must(t, command.Process.Kill())
	becomes(t, "a killed process is dead, reaped or not", func() bool {
		_, alive := readProcess(file)
		return !alive
	})
	_ = command.Wait()
	must(t, os.WriteFile(file, []byte("1"), 0o600))
	if _, alive := readProcess(file); alive {
		t.Error("half a line is taken for a process")
	}
}
