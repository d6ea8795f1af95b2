package backups

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// TestPortsOfRehearsals: a rehearsed member gets a port that the kernel gives to no connection, that nobody listens on,
// and that is meant for nobody else, as far as there is one.
func TestPortsOfRehearsals(t *testing.T) {
	busy, err := net.Listen("tcp", net.JoinHostPort(etcdclient.Loopback, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	listens := busy.Addr().(*net.TCPAddr).Port
	h := Host{Files: files.Tree{Root: t.TempDir()}}
	say := func(first, last int) {
		t.Helper()
		file := h.Files.Path("/proc/sys/net/ipv4/ip_local_port_range")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strconv.Itoa(first)+"\t"+strconv.Itoa(last)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	find := func(taken ...int) int {
		t.Helper()
		found, err := h.freeLoopback(taken...)
		if err != nil {
			t.Fatal(err)
		}
		return int(found)
	}
	for range 200 {
		if p := find(); p < firstPort || p >= 32768 && p <= 60999 {
			t.Fatalf("where the kernel does not say, it is %d", p)
		}
	}
	say(firstPort+3, 65535)
	for range 200 {
		if p := find(firstPort, firstPort+2); p == firstPort || p == firstPort+2 {
			t.Fatalf("it is %d, which is meant for somebody else", p)
		}
	}
	say(1024, 65535)
	if p := find(); p == 0 || p == listens {
		t.Errorf("where connections may have any port it is %d", p)
	}
	if listens > firstPort { // nobody else gets the only port that no connection has
		say(firstPort, listens-1)
		var others []int
		for p := listens + 1; p <= 65535; p++ {
			others = append(others, p)
		}
		if p := find(others...); p == listens {
			t.Errorf("it is %d, on which somebody listens", p)
		}
	}
}
