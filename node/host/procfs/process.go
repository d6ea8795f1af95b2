package procfs

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"time"
)

// Runs tells whether there is a process of this number. One that has ended counts until its parent has waited for it.
func (f FS) Runs(process int) bool {
	_, err := os.Stat(f.of(process, ""))
	return err == nil
}

// Arguments returns what a process was started with, or nothing if it has ended or is the kernel's own.
func (f FS) Arguments(process int) []string { return zeroTerminated(f.of(process, "cmdline")) }

// Environment returns the variables that a process was started with, or nothing if they cannot be read.
func (f FS) Environment(process int) []string { return zeroTerminated(f.of(process, "environ")) }

// Binary returns the path of the file that a process runs, as the kernel names it: with " (deleted)" behind it if the
// file is gone.
func (f FS) Binary(process int) (string, error) { return os.Readlink(f.of(process, "exe")) }

// zeroTerminated returns the strings in one of the kernel's files about a process, or nothing if it cannot be read.
func zeroTerminated(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// Tick is the unit of the kernel's times of processes: USER_HZ is 100 on every architecture that stores are built for.
const Tick = 10 * time.Millisecond

// Age returns how long a process has been running; false: nobody knows.
func (f FS) Age(process int) (time.Duration, bool) {
	up, known := f.Uptime()
	if !known {
		return 0, false
	}
	fields := f.stat(process)
	if len(fields) < 20 { // the 22nd of all is when the process was started
		return 0, false
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	return up - time.Duration(ticks)*Tick, err == nil
}

// Uptime returns the time since the host has booted, whatever its clock says; false: nobody knows.
func (f FS) Uptime() (time.Duration, bool) {
	text, err := os.ReadFile(f.path("/proc/uptime"))
	if err != nil {
		return 0, false
	}
	up, err := ParseUptime(string(text))
	return up, err == nil
}

// ParseUptime reads a time since the boot, in seconds, as the kernel writes it. It ignores what follows the time.
func ParseUptime(text string) (time.Duration, error) {
	first, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	return time.Duration(seconds * float64(time.Second)), err
}

// stat returns what the kernel says of a process, or nothing if it has ended: the fields behind the second one, which
// is a name in brackets that may hold any character.
func (f FS) stat(process int) []string {
	stat, err := os.ReadFile(f.of(process, "stat"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
}

// Work is what the kernel counts of a process.
type Work struct {
	Process int
	Read    int64         // bytes that were read from disks for it, including files that it has mapped
	Busy    time.Duration // of processors
}

// Work returns what a process has done. A field that cannot be read is zero.
func (f FS) Work(process int) Work {
	w := Work{Process: process}
	if file, err := os.Open(f.of(process, "io")); err == nil {
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if value, found := strings.CutPrefix(lines.Text(), "read_bytes: "); found {
				w.Read, _ = strconv.ParseInt(value, 10, 64)
			}
		}
		_ = file.Close() // nothing was written
	}
	// The 14th and 15th fields, of which stat has what is behind the second.
	if fields := f.stat(process); len(fields) > 12 {
		for _, ticks := range fields[11:13] {
			n, _ := strconv.ParseInt(ticks, 10, 64)
			w.Busy += time.Duration(n) * Tick
		}
	}
	return w
}

// AgeByBoot returns the age of a time that a file, at a path of this process, holds in seconds since the boot: by no
// clock that jumps. False: nobody knows.
func (f FS) AgeByBoot(file string) (time.Duration, bool) {
	now, known := f.Uptime()
	text, err := os.ReadFile(file)
	at, failed := ParseUptime(string(text))
	return now - at, known && err == nil && failed == nil
}
