// Package source is the snapshot on the machine that runs the provider: a file, or a download, which becomes a file. It
// is read once for each host that gets it.
package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Content is a file that holds a snapshot, encrypted or not.
type Content struct {
	SizeBytes int64
	SHA256    string // hexadecimal
	Encrypted bool   // by age

	path   string
	remove bool // the file was made for this run alone
}

// Open returns the content from its beginning.
func (c *Content) Open() (io.ReadCloser, error) { return os.Open(c.path) }

// Close removes the file if it was made for this run.
func (c *Content) Close() error {
	if !c.remove {
		return nil
	}
	return os.Remove(c.path)
}

// File returns an existing file, and reads it to its end. It refuses a snapshot whose content does not have the SHA-256
// at its end, before a host gets a byte of it. Only hosts can read an encrypted snapshot.
func File(path string) (*Content, error) {
	encrypted, err := glance(path)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	c, sum, snapshot := &Content{path: path, Encrypted: encrypted}, sha256.New(), api.NewChecksum()
	var into io.Writer = snapshot
	if encrypted {
		into = sum
	}
	if c.SizeBytes, err = io.Copy(into, file); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if c.SHA256 = hex.EncodeToString(sum.Sum(nil)); !encrypted {
		if c.SHA256, err = snapshot.Sum(); err != nil {
			return nil, fmt.Errorf("%s is damaged: %w; give another copy of it, or another snapshot", path, err)
		}
	}
	return c, nil
}

// made returns a file that is made for this run alone. Close removes the file, and so does an error.
func made(path string) (*Content, error) {
	c, err := File(path)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	c.remove = true
	return c, nil
}

// Received returns what fill writes, in a file of its own in dir that only its owner can read. Close removes it.
func Received(dir string, fill func(io.Writer) error) (*Content, error) {
	file, err := os.CreateTemp(dir, "snapshot-*.part") // made with mode 0600
	if err != nil {
		return nil, err
	}
	if err = errors.Join(fill(file), file.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(file.Name()))
	}
	return made(file.Name())
}

// header is how a file begins that age has encrypted.
const header = "age-encryption.org/v1\n"

// page is the unit of a database's size; a snapshot has a SHA-256 after it.
const page = 512

// glance refuses a file that is obviously no snapshot: missing, empty, or cut off. It tells whether the file is
// encrypted.
func glance(path string) (encrypted bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("%s is not there", path)
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is no file", path)
	case info.Size() == 0:
		return false, fmt.Errorf("%s is empty", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	head := make([]byte, len(header))
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	encrypted = strings.HasPrefix(string(head[:n]), header)
	if encrypted || info.Size()%page == sha256.Size {
		return encrypted, nil
	}
	return false, fmt.Errorf("%s has %d bytes, which is no database with a SHA-256 behind it: it was cut off, or is no snapshot of etcd's", path, info.Size())
}
