package lab

import (
	"errors"
	"os"
	"slices"
	"strings"
)

// unmountBelow unmounts all that is mounted below a directory, the last mounted first.
func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var failures []error
	for _, line := range slices.Backward(strings.Split(string(mounts), "\n")) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			failures = append(failures, run("umount", fields[1]))
		}
	}
	return errors.Join(failures...)
}
