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

// These are states of sockets in the kernel's tables.
const (
	established = "01"
	listening   = "0A"
)

// tables are the kernel's tables of TCP sockets. A kernel without IPv6 has no table of it.
var tables = []string{"/proc/net/tcp", "/proc/net/tcp6"}

// socket is a line of such a table.
type socket struct {
	local, remote netip.AddrPort
	state, inode  string
}

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
	err := f.eachSocket(func(s socket) {
		if port := int(s.local.Port()); s.state == listening && slices.Contains(ports, port) {
			inodes["socket:["+s.inode+"]"] = len(found)
			found = append(found, api.Listener{Port: port, Address: s.local.Addr().String()})
		}
	})
	if err != nil {
		return nil, err
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

// Connected returns the addresses from which other hosts are connected to a port, sorted.
func (f FS) Connected(port int) (from []netip.Addr, err error) {
	err = f.eachSocket(func(s socket) {
		local, remote := s.local.Addr().Unmap(), s.remote.Addr().Unmap()
		if s.state == established && int(s.local.Port()) == port && remote != local && !remote.IsLoopback() {
			from = append(from, remote)
		}
	})
	slices.SortFunc(from, netip.Addr.Compare)
	return slices.Compact(from), err
}

func (f FS) eachSocket(do func(socket)) error {
	for _, table := range tables {
		if err := f.eachSocketIn(table, do); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (f FS) eachSocketIn(table string, do func(socket)) error {
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
		local, err := parseSocketAddress(fields[1])
		if err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
		remote, err := parseSocketAddress(fields[2])
		if err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
		do(socket{local, remote, fields[3], fields[9]})
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
