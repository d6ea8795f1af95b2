package procfs

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// listening is the state of a listening socket in the kernel's tables.
const listening = "0A"

// looks is how often the sockets are read again if a process is not found: it may end, or close them, between two
// readings. A socket held in the kernel or in another PID namespace is never found.
const looks = 3

// Listeners finds who listens on any of the ports, sorted by port and address. mainPID is the member's process.
func (f FS) Listeners(ports []int, mainPID int) (found []api.Listener, err error) {
	for range looks {
		if found, err = f.listeners(ports, mainPID); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(found, func(l api.Listener) bool { return l.PID == 0 }) {
			break
		}
	}
	return found, nil
}

func (f FS) listeners(ports []int, mainPID int) ([]api.Listener, error) {
	found := []api.Listener{}
	inodes := map[string]int{} // of a socket -> its index in found
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		err := f.eachSocket(table, func(address netip.AddrPort, state, inode string) {
			if port := int(address.Port()); state == listening && slices.Contains(ports, port) {
				inodes["socket:["+inode+"]"] = len(found)
				found = append(found, api.Listener{Port: port, Address: address.Addr().String()})
			}
		})
		// A kernel without IPv6 has no table of it.
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	// The member's own sockets are found without a look at every process of the host.
	for _, process := range []string{strconv.Itoa(mainPID), "[1-9]*"} {
		if len(inodes) > 0 {
			f.eachSocketOf(process, inodes, func(i, pid int, name string) {
				found[i].PID, found[i].Process, found[i].Ours = pid, name, pid == mainPID
			})
		}
	}
	slices.SortStableFunc(found, func(a, b api.Listener) int { return a.Port - b.Port })
	return found, nil
}

// eachSocket reads one of the kernel's tables of TCP sockets.
func (f FS) eachSocket(table string, do func(address netip.AddrPort, state, inode string)) error {
	file, err := os.Open(f.path(table))
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Scan() // the heading
	for lines.Scan() {
		// sl local_address rem_address st queues timer retransmits uid timeout inode ...
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			return fmt.Errorf("%s: line %q has too few fields", table, lines.Text())
		}
		address, err := parseSocketAddress(fields[1])
		if err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
		do(address, fields[3], fields[9])
	}
	return lines.Err()
}

// parseSocketAddress reads an address of the kernel's tables: the address, in words of the machine's byte order, and
// the port, both hexadecimal.
func parseSocketAddress(text string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(text, ":")
	words, err := hex.DecodeString(address)
	if err != nil || len(words)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no socket address", text)
	}
	for i := 0; i < len(words); i += 4 {
		binary.BigEndian.PutUint32(words[i:], binary.NativeEndian.Uint32(words[i:]))
	}
	ip, ok := netip.AddrFromSlice(words)
	number, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is no socket address", text)
	}
	return netip.AddrPortFrom(ip, uint16(number)), nil
}

// eachSocketOf finds which of the sockets the matching processes have open, and removes those from inodes. A process
// that ends meanwhile has none.
func (f FS) eachSocketOf(processes string, inodes map[string]int, do func(i, pid int, name string)) {
	descriptors, _ := filepath.Glob(f.path(filepath.Join("/proc", processes, "fd", "*")))
	for _, descriptor := range descriptors {
		target, err := os.Readlink(descriptor)
		if err != nil {
			continue
		}
		i, desired := inodes[target]
		process := filepath.Dir(filepath.Dir(descriptor))
		pid, err := strconv.Atoi(filepath.Base(process))
		if !desired || err != nil {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(process, "comm"))
		do(i, pid, strings.TrimSpace(string(name)))
		delete(inodes, target)
	}
}
