package resources

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// LocalPath puts the home directory in the place of a leading ~/, in the path of a file on the
// machine that runs Terraform.
func LocalPath(path string) (string, error) {
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
