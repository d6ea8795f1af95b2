package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// packages are what the hosts are made of.
var packages = []string{
	"systemd", "systemd-sysv", "dbus", "openssh-server", "iproute2", "sudo", "nftables",
	"e2fsprogs", "xfsprogs", "procps",
}

// customize takes out of the image what every host has of its own, and what would disturb tests.
const customize = `set -e
rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/etc/machine-id
: >"$1"/etc/machine-id
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer; do
	ln -sf /dev/null "$1/etc/systemd/system/$unit"
done`

// baseImage is the directory of the image that all hosts are overlays of. It is built once, from the
// package sources that this machine itself uses, and kept outside of any repository.
func baseImage(ctx context.Context) (string, error) {
	sum := sha256.Sum256([]byte(strings.Join(packages, " ") + customize))
	image := filepath.Join(Root, "base-"+hex.EncodeToString(sum[:6]))
	held, err := lock(ctx, "image.lock")
	if err != nil {
		return "", err
	}
	defer held.Close()
	if _, err := os.Stat(image); err == nil {
		return image, nil
	}
	building := image + ".building"
	// Of one who was killed. mmdebstrap mounts /dev and /proc: nothing is removed while they may be there.
	if err := unmountBelow(building); err != nil {
		return "", err
	}
	if err := os.RemoveAll(building); err != nil {
		return "", err
	}
	suite, err := output("sh", "-c", `. /etc/os-release && echo "$VERSION_CODENAME"`)
	if err != nil {
		return "", err
	}
	args := []string{"--quiet", "--variant=minbase", "--include=" + strings.Join(packages, ","), "--customize-hook=" + customize}
	args = append(args, proxies()...)
	args = append(args, strings.TrimSpace(suite), building)
	args = append(args, sources()...)
	command := exec.CommandContext(ctx, "mmdebstrap", args...)
	// All that it starts ends with it, and holds the lock as long as it runs: also when this process is
	// killed, nobody else builds in the same directory.
	command.ExtraFiles = []*os.File{held}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	if text, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the base image: %w\n%s", errors.Join(err, ctx.Err()), text)
	}
	return image, os.Rename(building, image)
}

// sources are the files that say where this machine gets its packages.
func sources() []string {
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	if text, err := os.ReadFile("/etc/apt/sources.list"); err == nil && strings.Contains(string(text), "deb ") {
		files = append(files, "/etc/apt/sources.list")
	}
	return files
}

// proxies are the proxies that this machine gets its packages through.
func proxies() []string {
	config, err := output("apt-config", "dump")
	if err != nil {
		return nil
	}
	var options []string
	for line := range strings.Lines(config) {
		if strings.HasPrefix(line, "Acquire::") && strings.Contains(line, "::Proxy") {
			options = append(options, "--aptopt="+strings.TrimSuffix(strings.TrimSpace(line), ";"))
		}
	}
	return options
}
