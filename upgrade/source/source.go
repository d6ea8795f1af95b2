// Package source is where a snapshot comes from on the machine that runs the provider: a file, or what an
// address on the web leads to, which becomes one. It is read once for each host that it is sent to.
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
)

// Content is a file that holds a snapshot, encrypted or not.
type Content struct {
	SizeBytes int64
	SHA256    string // hexadecimal

	path   string
	remove bool // it was made for this run alone
}

// Open is the content from its beginning.
func (c *Content) Open() (io.ReadCloser, error) { return os.Open(c.path) }

// Close removes what was made for this run.
func (c *Content) Close() error {
	if !c.remove {
		return nil
	}
	return os.Remove(c.path)
}

// File is a file that is there.
func File(path string) (*Content, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return &Content{SizeBytes: size, SHA256: hex.EncodeToString(sum.Sum(nil)), path: path}, nil
}

// Received is what fill writes, in a file of its own in dir, which is readable by its owner alone. Close removes it.
func Received(dir string, fill func(io.Writer) error) (*Content, error) {
	file, err := os.CreateTemp(dir, "snapshot-*.part") // made with mode 0600
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	err = errors.Join(fill(io.MultiWriter(file, sum)), file.Close())
	if err == nil {
		err = Check(file.Name())
	}
	info, failed := os.Stat(file.Name())
	if err = errors.Join(err, failed); err != nil {
		return nil, errors.Join(err, os.Remove(file.Name()))
	}
	return &Content{SizeBytes: info.Size(), SHA256: hex.EncodeToString(sum.Sum(nil)), path: file.Name(), remove: true}, nil
}

// encrypted is how a file begins that age has encrypted.
const encrypted = "age-encryption.org/v1\n"

// page is what a database's size is a multiple of; a snapshot has a SHA-256 behind it.
const page = 512

// Check refuses what can be seen at a glance to be no snapshot: that it is not there, empty, or cut off. Whether it
// is whole, a host finds out, which reads all of it.
func Check(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is not there", path)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file", path)
	case info.Size() == 0:
		return fmt.Errorf("%s is empty", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	head := make([]byte, len(encrypted))
	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if strings.HasPrefix(string(head[:n]), encrypted) || info.Size()%page == sha256.Size {
		return nil
	}
	return fmt.Errorf("%s has %d bytes, which is no database with a SHA-256 behind it: it was cut off, or is no snapshot of etcd's", path, info.Size())
}
