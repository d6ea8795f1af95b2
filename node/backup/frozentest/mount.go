// Package frozentest has file systems that tests freeze.
package frozentest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Mount mounts a file system at a path of this process, and returns what freezes it: whatever changes something there
// waits until it thaws.
func Mount(t *testing.T, path string) (freeze, thaw func()) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	_, err := os.Stat(path)
	if err := errors.Join(err, os.WriteFile(image, nil, 0o600), os.Truncate(image, 64<<20)); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, path}} {
		if said, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system of ours can be mounted here: %v: %s", err, said)
		}
	}
	root, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	const freezes, thaws = 0xc0045877, 0xc0045878 // FIFREEZE and FITHAW of linux/fs.h
	ask := func(what uint) error { return unix.IoctlSetInt(int(root.Fd()), what, 0) }
	t.Cleanup(func() {
		_ = ask(thaws) // one that is not frozen says so
		if err := errors.Join(root.Close(), unix.Unmount(path, unix.MNT_DETACH)); err != nil {
			t.Error(err)
		}
	})
	return func() { _ = ask(freezes) }, func() { _ = ask(thaws) } // what hangs shows, and what does not
}
