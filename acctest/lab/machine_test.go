package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestStateOnAnOverlay(t *testing.T) {
	machine(t)
	dir := t.TempDir()
	for _, part := range []string{"lower", "upper", "work", "root"} {
		must(t, os.Mkdir(filepath.Join(dir, part), 0o700))
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, run("mount", "-t", "overlay", "overlay", "-o", "lowerdir="+in("lower")+",upperdir="+in("upper")+",workdir="+in("work"), in("root")))
	t.Cleanup(func() { must(t, run("umount", in("root"))) })
	t.Setenv("ETCD_LAB_DIR", in("root/labs"))
	if err := CheckMachine(); err == nil || !strings.Contains(err.Error(), in("root/labs")+" lies on an overlay") {
		t.Errorf("it is found fit: %v", err)
	}
}

func TestMissingPackages(t *testing.T) {
	machine(t)
	t.Setenv("PATH", t.TempDir())
	err := CheckMachine()
	if err == nil || !strings.Contains(err.Error(), "apt-get install -y mmdebstrap systemd-container ") {
		t.Errorf("a machine without programs: %v", err)
	}
}

func TestProxies(t *testing.T) {
	if _, err := os.Stat("/usr/bin/apt-config"); err != nil {
		t.Skip(err)
	}
	config := filepath.Join(t.TempDir(), "apt.conf")
	text := "Acquire::http::Proxy \"http://user:word@proxy.example:3128/\";\nAcquire::https::Proxy::mirror.example \"DIRECT\";\nAcquire::Retries \"7\";\n"
	must(t, os.WriteFile(config, []byte(text), 0o600))
	t.Setenv("APT_CONFIG", config)
	file, err := proxies()
	must(t, err)
	defer os.Remove(file)
	got, err := os.ReadFile(file)
	must(t, err)
	for _, line := range []string{`Acquire::http::Proxy "http://user:word@proxy.example:3128/";`, `Acquire::https::Proxy::mirror.example "DIRECT";`} {
		if !slices.Contains(strings.Split(string(got), "\n"), line) {
			t.Errorf("%s is missing in:\n%s", line, got)
		}
	}
	if strings.Contains(string(got), "Retries") {
		t.Errorf("there is more than proxies in:\n%s", got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
}
