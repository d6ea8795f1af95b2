package procfs

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// listenOn opens a listener on loopback, and returns its port.
func listenOn(t *testing.T, address string) int {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("this machine cannot listen on %s: %v", address, err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestListenersOfThisMachine(t *testing.T) {
	proc := FS{"/"}
	for _, address := range []string{"127.0.0.1", "::1"} {
		port := listenOn(t, net.JoinHostPort(address, "0"))
		name, err := os.ReadFile("/proc/self/comm")
		if err != nil {
			t.Fatal(err)
		}
		process := string(name[:len(name)-1])
		for mainPID, ours := range map[int]bool{os.Getpid(): true, 0: false, 1: false} {
			want := []api.Listener{{Port: port, Address: address, PID: os.Getpid(), Process: process, Ours: ours}}
			got, err := proc.Listeners([]int{port}, mainPID)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%s, for main process %d: %v\n%s", address, mainPID, err, diff)
			}
		}
	}
}

func TestNobodyListens(t *testing.T) {
	proc := FS{"/"}
	port := listenOn(t, "127.0.0.1:0")
	for _, ports := range [][]int{nil, {port%65535 + 1}} {
		got, err := proc.Listeners(ports, os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range got {
			if l.Port == port {
				t.Errorf("asked for %v, it found %+v", ports, l)
			}
		}
	}
}

// TestListenersFromTables reads tables of a machine whose processes cannot be inspected, and that has no IPv6.
func TestListenersFromTables(t *testing.T) {
	proc := FS{t.TempDir()}
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:094B 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1
   2: 0B0200C0:094C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
`
	for _, dir := range []string{"/proc/net", "/proc/42/fd"} {
		if err := os.MkdirAll(proc.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{"/proc/net/tcp": table, "/proc/42/comm": "store\n"} {
		if err := os.WriteFile(proc.path(path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("socket:[4713]", proc.path(filepath.Join("/proc/42/fd", "7"))); err != nil {
		t.Fatal(err)
	}
	got, err := proc.Listeners([]int{2379, 2380}, 42)
	if err != nil {
		t.Fatal(err)
	}
	want := []api.Listener{{Port: 2379, Address: "127.0.0.1"}, {Port: 2380, Address: "192.0.2.11", PID: 42, Process: "store", Ours: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseSocketAddress(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:094B":                         "127.0.0.1:2379",
		"00000000:0016":                         "0.0.0.0:22",
		"00000000000000000000000001000000:094B": "[::1]:2379",
		"B80D0120000000000000000011000000:094C": "[2001:db8::11]:2380",
	} {
		if got, err := parseSocketAddress(text); err != nil || got != netip.MustParseAddrPort(want) {
			t.Errorf("%s reads %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0100007F", "0100007F:x", "zz:1", "01:094B"} {
		if got, err := parseSocketAddress(text); err == nil {
			t.Errorf("%q reads %s", text, got)
		}
	}
}

// TestListenerThatEndsMeanwhile: if a process ends after the sockets were read and before the processes are, its socket
// is nobody's, and is no longer found.
func TestListenerThatEndsMeanwhile(t *testing.T) {
	root := t.TempDir()
	tables := filepath.Join(root, "proc/net")
	if err := os.MkdirAll(tables, 0o755); err != nil {
		t.Fatal(err)
	}
	const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	const socket = "   0: 0100007F:094C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n"
	table, later := filepath.Join(tables, "tcp"), filepath.Join(tables, "later")
	if err := errors.Join(syscall.Mkfifo(table, 0o600), os.WriteFile(later, []byte(heading), 0o600)); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		first, err := os.OpenFile(table, os.O_WRONLY, 0)
		if err == nil {
			_, err = first.WriteString(heading + socket)
			err = errors.Join(err, os.Rename(later, table), first.Close()) // before it is read to its end
		}
		written <- err
	}()
	got, err := FS{root}.Listeners([]int{2380}, 0)
	if err := errors.Join(err, <-written); err != nil || len(got) > 0 {
		t.Errorf("found %+v, %v", got, err)
	}
	if err := os.WriteFile(table, []byte(heading+socket), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []api.Listener{{Port: 2380, Address: "127.0.0.1"}}
	if got, err := (FS{root}).Listeners([]int{2380}, 0); err != nil || !slices.Equal(got, want) {
		t.Errorf("a socket that stays, of no process: %+v, %v", got, err)
	}
}
