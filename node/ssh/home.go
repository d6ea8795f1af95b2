package ssh

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ExpandHome puts the home directory in the place of a leading ~/, as the shell would have done, in the
// path of a file on this machine.
func ExpandHome(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("expand %s: %w", path, err)
	}
	return filepath.Join(home, rest), nil
}
