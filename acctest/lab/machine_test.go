package lab

import (
	"os"
	"path/filepath"
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
