package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/embedded"
)

// place writes a binary as an archive into dir, unless it is there already, and returns the archive's name.
func place(binary, etcd, architecture, dir string) (string, error) {
	text, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	name := embedded.Store{EtcdVersion: etcd, Architecture: architecture, SHA256: hex.EncodeToString(sum[:])}.Name()
	if _, err := embedded.Parse(name); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if holds(path, sum) {
		return name, nil
	}
	archive, err := compress(text)
	if err != nil {
		return "", fmt.Errorf("compress %s: %w", name, err)
	}
	// The archive is renamed last, so that a file with this name is complete.
	next := path + ".new"
	if err := os.WriteFile(next, archive, 0o644); err != nil {
		return "", err
	}
	return name, os.Rename(next, path)
}

// holds tells whether an archive exists and is complete.
func holds(path string, sum [sha256.Size]byte) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	archive, err := gzip.NewReader(file)
	if err != nil {
		return false
	}
	found := sha256.New()
	_, err = io.Copy(found, archive)
	return err == nil && bytes.Equal(found.Sum(nil), sum[:])
}

// compress makes an archive with nothing but the contents in it, neither a name nor a time.
func compress(text []byte) ([]byte, error) {
	var archive bytes.Buffer
	out, err := gzip.NewWriterLevel(&archive, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := out.Write(text); err != nil {
		return nil, err
	}
	err = out.Close()
	return archive.Bytes(), err
}
