package resources

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
)

// writeFile writes a file whole or not at all: beside its place first, and put there by place, which
// is os.Rename to overwrite what is there, or os.Link to fail then.
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

// removeIfHolds deletes a file, unless it holds something else by now.
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
