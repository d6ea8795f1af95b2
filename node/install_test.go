package node

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// unpack runs the install script on this machine, into root.
func unpack(root, hash string, archive []byte) error {
	command := exec.Command("sh", "-c", "root="+ssh.Quote(root)+"\nhash="+hash+"\n"+installScript)
	command.Stdin = bytes.NewReader(archive)
	return command.Run()
}

// archive is a binary of random bytes, packed, and its hash.
func archive(t *testing.T) (hash string, packed []byte) {
	t.Helper()
	binary := make([]byte, 1<<20)
	if _, err := rand.Read(binary); err != nil {
		t.Fatal(err)
	}
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	if _, err := writer.Write(binary); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(binary)
	return hex.EncodeToString(sum[:]), buffer.Bytes()
}

// entries are the names in a directory; none where there is no directory.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range found {
		names = append(names, entry.Name())
	}
	return names
}

func TestInstallPutsTheStoreInPlace(t *testing.T) {
	root := filepath.Join(t.TempDir(), "lib", "etcd-store")
	hash, packed := archive(t)
	for range 2 {
		if err := unpack(root, hash, packed); err != nil {
			t.Fatal(err)
		}
	}
	if names := entries(t, root); len(names) != 1 || names[0] != hash {
		t.Errorf("beside the store lie %v", names)
	}
	info, err := os.Stat(filepath.Join(root, hash, "store"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o755 {
		t.Errorf("mode is %v", info.Mode())
	}
}

func TestInstallLeavesNothingOfABadUpload(t *testing.T) {
	hash, packed := archive(t)
	other, _ := archive(t)
	for name, bad := range map[string]struct {
		hash    string
		archive []byte
	}{
		"cut short":      {hash, packed[:len(packed)/2]},
		"empty":          {hash, nil},
		"another binary": {other, packed},
		"no archive":     {hash, []byte("404 not found")},
	} {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "etcd-store")
			if err := unpack(root, bad.hash, bad.archive); err == nil {
				t.Error("it was taken")
			}
			if names := entries(t, root); len(names) != 0 {
				t.Errorf("it left %v", names)
			}
		})
	}
}
