package s3test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// program is the package that the module in tools/s3 provides.
const program = "github.com/versity/versitygw/cmd/versitygw"

// build builds the server into bin/, with the versions in tools/s3, which takes minutes, once. Processes that test at
// the same time wait for each other.
var build = sync.OnceValues(func() (string, error) {
	module, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(module)))
	versions, err := os.ReadFile(filepath.Join(root, "tools", "s3", "go.sum"))
	if err != nil {
		return "", err
	}
	binary := filepath.Join(root, "bin", fmt.Sprintf("versitygw-%.8x", sha256.Sum256(versions)))
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(binary + ".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close() // closing releases the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(binary); !errors.Is(err, fs.ErrNotExist) {
		return binary, err
	}
	// A killed build leaves no partial file under the final name.
	command := exec.Command("go", "build", "-C", filepath.Join(root, "tools", "s3"), "-trimpath", "-buildvcs=false", "-o", binary+".new", program)
	// GOFLAGS is for the build of the tests, which is of another module.
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", program, err, output)
	}
	return binary, os.Rename(binary+".new", binary)
})

func mustBuild(t testing.TB) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}
