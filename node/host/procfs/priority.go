package procfs

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Priorities of work beside a member, as its units have them: the member has a nice value of 0.
const (
	lowNice     = 10
	lowestLevel = 2<<13 | 7 // of disk access: best effort, the last of its eight levels
	ofThread    = 1
)

// LowerPriority has this process come after a member for processors and disks. In Linux both are a thread's, and a new
// thread has those of the thread that makes it. So LowerPriority goes through the threads until it finds none any more
// whose priority is higher.
func LowerPriority() error {
	for {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		all := true
		for _, entry := range threads {
			thread, err := strconv.Atoi(entry.Name())
			if err != nil {
				return err
			}
			lowered, err := lower(thread)
			if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended meanwhile
				return err
			}
			all = all && !lowered
		}
		if all {
			return nil
		}
	}
}

// lower lowers a thread's priority, and tells whether it was higher. The nice value comes last, since it is what shows
// that both are done.
func lower(thread int) (lowered bool, err error) {
	is, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
	if err != nil || 20-is >= lowNice { // as the kernel has it: 20 less the nice value
		return false, err
	}
	// A kernel without levels of disk access treats it as any other.
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ofThread, uintptr(thread), lowestLevel) //nolint:gosec // not negative
	return true, unix.Setpriority(unix.PRIO_PROCESS, thread, lowNice)
}
