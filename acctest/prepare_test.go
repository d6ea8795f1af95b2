package acctest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestInterruptedSetup interrupts the set-up of make demo and make test while the provider is compiled, which takes
// minutes: the compilation ends with it, and does not go on beside the next.
func TestInterruptedSetup(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("the set-up is root's")
	}
	dir := t.TempDir()
	script, err := os.ReadFile("../tools/prepare.sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"tools/prepare.sh": string(script),
		"stubs/make":       "#!/bin/sh\necho $$ >" + dir + "/compiling\nexec sleep 300\n",
		"stubs/go":         "#!/bin/sh\nexit 0\n",
		"bin/labctl":       "#!/bin/sh\nexit 0\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	setup := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "tools/prepare.sh"))
	setup.Env = append(os.Environ(), "PATH="+dir+"/stubs:"+os.Getenv("PATH"), "MAKE="+dir+"/stubs/make", "CLI=terraform", "PACKAGES=")
	setup.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	setup.WaitDelay = time.Second // what goes on has its output still
	var said strings.Builder
	setup.Stdout, setup.Stderr = &said, &said
	if err := setup.Start(); err != nil {
		t.Fatal(err)
	}
	compiling := 0
	runs := func() bool {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(compiling) + "/status")
		return err == nil && !strings.Contains(string(status), "State:\tZ")
	}
	within := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("%s: not within a minute; it said\n%s", what, said.String())
				return
			}
		}
	}
	within("it compiles", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "compiling"))
		if err == nil {
			compiling, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil && compiling > 0
	})
	t.Cleanup(func() {
		if compiling > 0 && runs() {
			_ = syscall.Kill(compiling, syscall.SIGKILL)
		}
	})
	time.Sleep(time.Second) // the other steps end meanwhile, and it waits for the compilation
	if err := syscall.Kill(-setup.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := setup.Wait(); err == nil {
		t.Errorf("it succeeded:\n%s", said.String())
	}
	within("the compilation ends", func() bool { return !runs() })
}
