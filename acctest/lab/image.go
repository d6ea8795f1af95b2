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
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// packages are the Debian packages in the image.
var packages = []string{
	"systemd", "systemd-sysv", "dbus", "openssh-server", "iproute2", "sudo", "nftables",
	"e2fsprogs", "xfsprogs", "procps", "iputils-ping",
}

// customize removes from the image what every host makes itself, what belongs to this machine, and what would disturb
// tests.
const customize = `set -e
rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/etc/machine-id "$1"/etc/resolv.conf "$1"/etc/apt/apt.conf.d/99mmdebstrap
: >"$1"/etc/machine-id
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer; do
	ln -sf /dev/null "$1/etc/systemd/system/$unit"
done`

// cache is the directory of base images: outside of any repository, and apart from labs.
func cache() string {
	dir := os.Getenv("XDG_CACHE_HOME")
	if dir == "" {
		dir = "/var/cache"
	}
	return filepath.Join(dir, "terraform-provider-etcd-lab")
}

// MakeImage builds the base image if it is missing, which otherwise the first lab does.
func MakeImage(ctx context.Context) error {
	if err := CheckMachine(); err != nil {
		return err
	}
	_, err := baseImage(ctx)
	return err
}

// baseImage returns the directory of the image that all hosts are overlays of. It is built once per recipe, from this
// machine's package sources.
func baseImage(ctx context.Context) (string, error) {
	suite, err := output("sh", "-c", `. /etc/os-release && echo "$VERSION_CODENAME"`)
	if err != nil {
		return "", err
	}
	suite = strings.TrimSpace(suite)
	sum := sha256.Sum256([]byte(suite + runtime.GOARCH + strings.Join(packages, " ") + customize))
	image := filepath.Join(cache(), "base-"+hex.EncodeToString(sum[:6]))
	held, err := lock(ctx, filepath.Join(cache(), "image.lock"))
	if err != nil {
		return "", err
	}
	defer held.Close()
	if _, err := os.Stat(image); err == nil {
		return image, nil
	}
	building := image + ".building"
	// Left by a killed build. mmdebstrap mounts /dev and /proc: nothing is removed while they may be mounted.
	if err := unmountBelow(building); err != nil {
		return "", err
	}
	if err := os.RemoveAll(building); err != nil {
		return "", err
	}
	if err := bootstrap(ctx, suite, building, held); err != nil {
		return "", fmt.Errorf("build the base image: %w", err)
	}
	return image, os.Rename(building, image)
}

// bootstrap builds an image with mmdebstrap. Its processes end with it and hold the lock while they run, so that
// nobody else builds in the same directory, even after this process was killed.
func bootstrap(ctx context.Context, suite, dir string, lock *os.File) error {
	proxies, err := proxies()
	if err != nil {
		return err
	}
	defer os.Remove(proxies)
	args := []string{"--quiet", "--variant=minbase", "--include=" + strings.Join(packages, ","),
		"--customize-hook=" + customize, "--aptopt=" + proxies, suite, dir}
	command := exec.CommandContext(ctx, "mmdebstrap", append(args, sources("/etc/apt")...)...)
	command.ExtraFiles = []*os.File{lock}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", errors.Join(err, ctx.Err()), text)
	}
	return nil
}

// source matches the begin of an entry in apt's source files, in the older and the newer format.
var source = regexp.MustCompile(`(?m)^(deb\s|Types:)`)

// sources returns the files with this machine's package sources. It skips files without an entry, such as a
// sources.list that only refers to the others, since mmdebstrap cannot tell their format.
func sources(apt string) []string {
	var files []string
	for _, pattern := range []string{"sources.list", "sources.list.d/*.list", "sources.list.d/*.sources"} {
		found, _ := filepath.Glob(filepath.Join(apt, pattern)) // it is well formed
		files = append(files, found...)
	}
	return slices.DeleteFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && !source.Match(text)
	})
}

// proxies writes a file with this machine's proxies for packages. Their URLs may hold passwords, which a command line
// would reveal.
func proxies() (string, error) {
	config, err := output("apt-config", "dump")
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp("", "apt-proxies")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(config) {
		if strings.HasPrefix(line, "Acquire::") && strings.Contains(line, "::Proxy") {
			_, writing := file.WriteString(line)
			err = errors.Join(err, writing)
		}
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}
