package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// programs are the programs that the lab runs, with their Debian packages.
var programs = []struct{ program, pkg string }{
	{"mmdebstrap", "mmdebstrap"},
	{"systemd-nspawn", "systemd-container"},
	{"ip", "iproute2"},
	{"nft", "nftables"},
	{"nsenter", "util-linux"},
	{"losetup", "mount"},
	{"ssh-keygen", "openssh-client"},
}

// Packages returns the Debian packages that the lab needs.
func Packages() []string {
	var names []string
	for _, p := range programs {
		names = append(names, p.pkg)
	}
	return names
}

// stateDir is the directory of labs: $ETCD_LAB_DIR, or else a system directory.
func stateDir() string {
	if dir := os.Getenv("ETCD_LAB_DIR"); dir != "" {
		return dir
	}
	return "/var/lib/etcd-lab"
}

// CheckMachine returns what this machine lacks to boot a lab, and how to install it.
func CheckMachine() error {
	if os.Geteuid() != 0 {
		return errors.New("booting hosts needs root")
	}
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p.program); err != nil {
			missing = append(missing, p.pkg)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the lab needs Debian packages that are missing: apt-get install -y %s", strings.Join(missing, " "))
	}
	if cgroupRoot() == "" {
		return errors.New("the lab needs control groups of version 2, and none are mounted at /sys/fs/cgroup")
	}
	if err := os.MkdirAll(stateDir(), 0o700); err != nil {
		return err
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(stateDir(), &stat); err != nil {
		return fmt.Errorf("%s: %w", stateDir(), err)
	}
	if stat.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return fmt.Errorf("%s lies on an overlay, on which hosts cannot be overlays: set ETCD_LAB_DIR to a directory of another file system", stateDir())
	}
	return nil
}

// inotifyFile is the machine's limit of inotify instances per user.
const inotifyFile = "/proc/sys/fs/inotify/max_user_instances"

// makeRoom raises the machine's limit of inotify instances if it is too low. Linux allows 128 and a host takes 8, all
// as root: with 15 hosts none would be left, and systemd on the next would not start. The limit stays until the
// machine reboots.
func makeRoom() error {
	const enough = 4096 // 12 labs of 40 hosts
	text, err := os.ReadFile(inotifyFile)
	if err != nil {
		return err
	}
	if limit, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || limit >= enough {
		return err
	}
	return os.WriteFile(inotifyFile, []byte(strconv.Itoa(enough)), 0)
}

// run runs a program to its end; its output is in the error.
func run(name string, args ...string) error {
	_, err := output(name, args...)
	return err
}

// output runs a program to its end and returns its stdout. The program is killed with this process, so that it does
// not interfere when the next process cleans up. The kernel ties that to the thread that started it, which therefore
// has to stay.
func output(name string, args ...string) (string, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stderr strings.Builder
	command := exec.Command(name, args...)
	command.Stderr = &stderr
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := command.Output()
	if err != nil {
		return string(stdout), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(stdout), nil
}
