package acctest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup/s3test"
)

// TestTransfersGoOn has a run killed while a store is on its way to a host, which the next one sends the rest of.
// Then it has a snapshot of many megabytes on its way. On a slow connection, where the heartbeats of the lock wait
// behind it, the run keeps its lock. Then its machine falls asleep in the middle: the host is free again after the
// 30 s that the guide promises, and the next run sends the rest. At last the host fetches from S3, its call is
// killed, and the next one fetches the rest.
func TestTransfersGoOn(t *testing.T) {
	sample.Leave(t, "TestUploadIsGoneOnWith and TestFetchIsGoneOnWith go on with the same transfers")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a")})
	a := l.Host("a")
	storage := storageIn(t, l, s3test.Options{})
	storage.MakeBucket(t, "backups")

	v := &saved{workspace: newWorkspace(t, l, configuration(t, l, setup{}))}
	goOnWithAStore(t, v, a)
	v.fill("kept", kept)
	inHost(t, a, "sh", "-ec", `for i in $(seq 20); do head -c 750000 /dev/urandom | base64 -w0 |
		etcdctl --endpoints=https://127.0.0.1:2379 --cacert /etc/etcd/prod/tls/client-ca.crt --cert /etc/etcd/prod/tls/admin.crt --key /etc/etcd/prod/tls/admin.key put big/$i; done`)
	v.write("main.tf", configuration(t, l, setup{})+snapshotOf)
	v.apply()
	snapshot, err := os.ReadFile(v.dir + "/prod.db")
	if err != nil {
		t.Fatal(err)
	}
	again := func() {
		v.id = v.clusterID()
		v.fill("later", later)
		v.seen = v.revisionNow()
	}
	// mustBringTheRest applies, and wants the host to get no more than what it does not have yet, the headers of
	// packets (a twentieth), and two megabytes of all else that the apply tells it.
	mustBringTheRest := func(before int64, apply ...string) {
		t.Helper()
		from := received(t, a)
		v.must(append([]string{"apply", "-auto-approve", "-no-color"}, apply...)...)
		rest := int64(len(snapshot)) - before
		if came := received(t, a) - from; came > rest+rest/20+2<<20 {
			t.Errorf("%d bytes came, though %d of %d were there", came, before, len(snapshot))
		}
	}

	again()
	v.restoring(nil, "")
	v.write("progress.log", "")
	throttle(t, a, "512kbit")
	began := time.Now()
	command, output := v.command("apply", "-auto-approve", "-no-color")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	var size int64
	for size = 0; time.Since(began) < 90*time.Second || size < 3<<20; size = arrivedOn(t, a) {
		select {
		case err := <-ended:
			t.Fatalf("the run ended on a slow connection, after %s and %d bytes: %v\n%s", time.Since(began), size, err, output)
		case <-time.After(time.Second):
		}
	}
	frozen := append(v.providers(command.Process.Pid), command.Process.Pid)
	if len(frozen) != 2 {
		t.Fatalf("the processes of the run are %v", frozen)
	}
	for _, pid := range frozen {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	}
	throttle(t, a, "") // what is on its way still comes
	asleep := time.Now()
	for calls := ""; calls != "0"; time.Sleep(time.Second) {
		calls = strings.TrimSpace(inHost(t, a, "sh", "-c", "pgrep -fc '/store call$' || true"))
		if time.Since(asleep) > 45*time.Second {
			t.Fatalf("after %s %s calls are left on the host", time.Since(asleep), calls)
		}
	}
	t.Logf("the host is free %s after its caller fell asleep", time.Since(asleep))
	mustBringTheRest(arrivedOn(t, a), "-lock=false") // of Terraform's own state, which sleeps as well
	for _, pid := range frozen {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-ended
	v.mustBeRestored()

	object := fmt.Sprintf(`s3 = {
      endpoint          = %q
      region            = %q
      bucket            = "backups"
      key               = "prod.db"
      path_style        = true
      access_key_id     = %q
      secret_access_key = %q
    }`, storage.Endpoint(), s3test.Region, s3test.AccessKeyID, s3test.SecretAccessKey)
	v.write("main.tf", configuration(t, l, setup{})+strings.Replace(snapshotOf, `file = "prod.db"`, object, 1))
	v.apply()
	again()
	v.write("main.tf", configuration(t, l, setup{cluster: fmt.Sprintf("restore = {\n    overwrite_cluster_id = %q\n    %s\n  }", v.id, object)}))
	throttle(t, a, "8mbit")
	command, output = v.command("apply", "-auto-approve", "-no-color")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- command.Wait() }()
	for size = 0; size < 5<<20; size = arrivedOn(t, a) {
		select {
		case err := <-ended:
			t.Fatalf("the run ended after %d bytes: %v\n%s", size, err, output)
		case <-time.After(100 * time.Millisecond):
		}
	}
	inHost(t, a, "sh", "-ec", `for process in /proc/[0-9]*; do
		if ls -l $process/fd 2>/dev/null | grep -q prod.snapshots/arriving; then kill -9 ${process#/proc/}; fi
		done`)
	if err := <-ended; err == nil {
		t.Fatalf("the apply whose call was killed succeeded\n%s", output)
	}
	throttle(t, a, "")
	mustBringTheRest(size)
	v.mustBeRestored()
	v.destroy()
	mustBeBare(t, a)
}

// goOnWithAStore applies, after a run that was killed while the store was on its way to a host.
func goOnWithAStore(t *testing.T, v *saved, a *lab.Host) {
	t.Helper()
	const store = 11 << 20 // packed
	has := func() int64 {
		return number(t, inHost(t, a, "sh", "-c", "cat /usr/local/lib/etcd-store/.incoming.*/* 2>/dev/null | wc -c"))
	}
	throttle(t, a, "8mbit")
	command, output := v.command("apply", "-auto-approve", "-no-color")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for has() < store/2 {
		select {
		case err := <-ended:
			t.Fatalf("the run has ended: %v\n%s", err, output)
		case <-time.After(100 * time.Millisecond):
		}
	}
	for _, pid := range append(v.providers(command.Process.Pid), command.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-ended
	throttle(t, a, "")
	from := received(t, a)
	v.apply()
	if came := received(t, a) - from; came > store*3/4 {
		t.Errorf("%d bytes came, though half of the store was there", came)
	}
	if left := strings.TrimSpace(inHost(t, a, "sh", "-c", "ls -d /usr/local/lib/etcd-store/.incoming.* 2>/dev/null || true")); left != "" {
		t.Errorf("%s is left", left)
	}
}

// throttle limits what a host receives; empty: no more.
func throttle(t *testing.T, h *lab.Host, rate string) {
	t.Helper()
	change := func() error { return h.Throttle(rate) }
	if rate == "" {
		change = h.Unthrottle
	}
	if err := change(); err != nil {
		t.Fatal(err)
	}
}

// arrivedOn is how much of a snapshot has come to a host that is on its way.
func arrivedOn(t *testing.T, h *lab.Host) int64 {
	t.Helper()
	return number(t, inHost(t, h, "sh", "-c", "cat /var/lib/etcd/prod.snapshots/arriving-* 2>/dev/null | wc -c"))
}

// received is how many bytes a host has received from the network.
func received(t *testing.T, h *lab.Host) int64 {
	t.Helper()
	return number(t, inHost(t, h, "sed", "-n", `s/^ *eth0: *\([0-9]*\) .*/\1/p;s/^ *host0: *\([0-9]*\) .*/\1/p`, "/proc/net/dev"))
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
