package procfs

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// asLowered makes this test binary the process whose priority is lowered.
const asLowered = "PROCFS_TEST_AS_LOWERED"

func TestMain(m *testing.M) {
	if os.Getenv(asLowered) != "" {
		if err := lowered(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// lowered lowers the priority of this process while it starts threads, and starts others after that.
func lowered() error {
	stop, more := make(chan struct{}), make(chan struct{})
	thread := func() {
		runtime.LockOSThread()
		<-stop
	}
	for range 40 {
		go thread()
	}
	go func() {
		for range 200 {
			go thread()
			runtime.Gosched()
		}
		close(more)
	}()
	if err := LowerPriority(); err != nil {
		return err
	}
	<-more
	for range 40 {
		go thread()
	}
	defer close(stop)
	for threads := 0; threads < 280; {
		all, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		threads = len(all)
		for _, entry := range all {
			id, err := strconv.Atoi(entry.Name())
			if err != nil {
				return err
			}
			nice, err := unix.Getpriority(unix.PRIO_PROCESS, id)
			if err != nil || 20-nice != 10 {
				return fmt.Errorf("of %d threads, %d has the nice value %d: %w", threads, id, 20-nice, err)
			}
			level, _, failed := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(id), 0) //nolint:gosec // not negative
			if failed != 0 || level != 2<<13|7 {
				return fmt.Errorf("of %d threads, %d has the priority of disk access %#x: %w", threads, id, level, failed)
			}
		}
	}
	return nil
}

// TestPriorityOfAllThreads holds that threads have the low priority that are started before, meanwhile and after.
func TestPriorityOfAllThreads(t *testing.T) {
	t.Parallel()
	for range 5 {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), asLowered+"=1")
		if said, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
}
