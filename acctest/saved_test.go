package acctest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestASnapshotComesOverBrokenConnections has the connection end twice while a snapshot comes from a host: the apply
// gets the rest. Then it has an apply killed: its host keeps the snapshot, which has no name, until the next apply
// wants to save one.
func TestASnapshotComesOverBrokenConnections(t *testing.T) {
	sample.Leave(t, "TestASnapshotGoesOn has calls cut off on this machine")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a")})
	a := l.Host("a")
	v := &saved{workspace: newWorkspace(t, l, configuration(t, l, setup{}))}
	v.apply()
	inHost(t, a, "sh", "-ec", `for i in $(seq 20); do head -c 750000 /dev/urandom | base64 -w0 |
		etcdctl --endpoints=https://127.0.0.1:2379 --cacert /etc/etcd/prod/tls/client-ca.crt --cert /etc/etcd/prod/tls/admin.crt --key /etc/etcd/prod/tls/admin.key put big/$i; done`)
	v.write("main.tf", configuration(t, l, setup{})+snapshotOf)
	v.write("progress.log", "")
	inHost(t, a, "sh", "-ec", `for dev in $(ls /sys/class/net | grep -E "^(eth|host)0$"); do tc qdisc replace dev $dev root tbf rate 16mbit burst 32kbit latency 400ms; done`)
	come := func() (size int64) {
		parts, _ := filepath.Glob(v.dir + "/.prod.db.*.part")
		for _, part := range parts {
			if info, err := os.Stat(part); err == nil {
				size += info.Size()
			}
		}
		return size
	}
	command, output := v.command("apply", "-auto-approve", "-no-color")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	until := func(size int64) {
		t.Helper()
		for come() < size {
			select {
			case err := <-ended:
				t.Fatalf("the apply ended after %d bytes: %v\n%s", come(), err, output)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	for _, size := range []int64{4 << 20, 10 << 20} {
		until(size)
		inHost(t, a, "sh", "-ec", `for call in $(pgrep -f '/store call$'); do kill -9 $(sed -n 's/^PPid:\t*//p' /proc/$call/status); done`)
	}
	if err := <-ended; err != nil {
		t.Fatalf("the apply failed: %v\n%s", err, output)
	}
	progress, err := os.ReadFile(v.dir + "/progress.log")
	if err != nil || strings.Count(string(progress), "and the rest is asked for") < 2 {
		t.Errorf("it has told %q, %v", progress, err)
	}
	kept := func() bool {
		return strings.Contains(inHost(t, a, "ls", "/run/etcd-store"), "prod.save-")
	}
	if kept() {
		t.Error("the host keeps what has come")
	}

	v.write("main.tf", configuration(t, l, setup{})+strings.Replace(snapshotOf, "file =", "triggers = { again = 1 }\n  file =", 1))
	command, output = v.command("apply", "-auto-approve", "-no-color")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- command.Wait() }()
	until(2 << 20)
	for _, pid := range append(v.providers(command.Process.Pid), command.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-ended
	time.Sleep(5 * time.Second)
	if !kept() {
		t.Error("the host keeps nothing for a caller that may come back")
	}
	v.must("apply", "-auto-approve", "-no-color", "-lock=false")
	if kept() {
		t.Error("the host keeps what nobody has come back for")
	}
	v.destroy()
	mustBeBare(t, a)
}
