package lab

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unmountBelow unmounts everything below a directory, the last mount first.
func unmountBelow(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var failures []error
	for _, line := range slices.Backward(strings.Split(string(mounts), "\n")) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			failures = append(failures, unmount(fields[1]))
		}
	}
	return errors.Join(failures...)
}

// unmount unmounts one place. The kernel releases the image of a killed host only some time after its last process has
// ended, so unmount waits while it is busy.
func unmount(place string) error {
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Unmount(place, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Since(start) > patience {
			return fmt.Errorf("unmount %s: %w", place, err)
		}
	}
}
