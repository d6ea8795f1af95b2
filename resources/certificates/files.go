package certificates

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// placeOf returns where a file lies, however its path is written: absolute, clean, and with links in its directory
// followed. A link at the place itself counts as a file: writers replace the link and do not follow it.
func placeOf(path string) (string, error) {
	path, err := ssh.ExpandHome(path)
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	return path, nil
}

// writeFile writes a file whole or not at all. It writes a draft beside the file's place and then calls place to move
// the draft there: os.Rename overwrites a file that is there, os.Link fails.
func writeFile(path, text string, mode fs.FileMode, place func(from, to string) error) error {
	path, err := ssh.ExpandHome(path)
	if err != nil {
		return err
	}
	draft, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // made with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(draft.Name()) }() // a link is left, or nothing
	_, err = draft.WriteString(text)
	err = errors.Join(err, draft.Chmod(mode), draft.Sync(), draft.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return place(draft.Name(), path)
}

// holds tells whether a file holds exactly this text.
func holds(path, text string) bool {
	path, err := ssh.ExpandHome(path)
	if err != nil {
		return false
	}
	have, err := os.ReadFile(path)
	return err == nil && string(have) == text
}

// removeIfHolds deletes a file that still holds this text, and leaves any other.
func removeIfHolds(path, text string) error {
	if !holds(path, text) {
		return nil
	}
	path, err := ssh.ExpandHome(path)
	if err != nil {
		return err
	}
	return os.Remove(path)
}
