package acctest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestFullDatabase fills a cluster's database. The plan shows the alarm, and an apply with a higher quota rolls it, and
// has the cluster take writes again.
func TestFullDatabase(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	quota := func(bytes int) string {
		return configuration(t, l, setup{cluster: fmt.Sprintf("settings = { quota_backend_bytes = %d }", bytes)})
	}
	w := newWorkspace(t, l, quota(64<<20))
	w.apply()
	c, endpoints := w.client(), w.endpoints()
	c.must(endpoints[0], "put", "kept", "1")
	// Revisions of one key of 1 MB each, until the first is refused.
	said := inHost(t, l.Host("a"), "sh", "-c", `head -c 1000000 /dev/zero | tr '\0' x >/tmp/big; for i in $(seq 200); do
		etcdctl --endpoints=https://127.0.0.1:2379 --cacert /etc/etcd/prod/tls/client-ca.crt --cert /etc/etcd/prod/tls/admin.crt --key /etc/etcd/prod/tls/admin.key put big </tmp/big >/dev/null 2>/tmp/why || break
		done; cat /tmp/why`)
	if !strings.Contains(said, "database space exceeded") {
		t.Fatalf("the database was not filled: %s", said)
	}
	output, code := w.planCode()
	if code != 2 || !strings.Contains(output, "NOSPACE") || !strings.Contains(output, "disarm: ") {
		t.Errorf("a plan with a full database: %d\n%s", code, output)
	}
	if output, err := c.run(endpoints[0], "put", "more", "1"); err == nil {
		t.Errorf("it takes writes: %s", output)
	}

	w.write("main.tf", quota(256<<20))
	w.apply()
	w.mustRollOut("roll a", "roll b", "roll c", "disarm: ")
	w.mustBeSettled()
	c.must(endpoints[1], "put", "more", "1")
	if got := c.must(endpoints[2], "get", "kept", "--print-value-only"); strings.TrimSpace(got) != "1" {
		t.Errorf("kept is %q", got)
	}
}

// TestDiskThatIsNotMounted boots a host without the disk that its data is on. The member does not start on what lies
// below the mount point, the plan says so, and nothing is done to it until somebody has mounted the disk.
func TestDiskThatIsNotMounted(t *testing.T) {
	sample.Leave(t, "TestGuardOnABootedHost has a host without its disk, and the executor's tests have its plans")
	t.Parallel()
	hosts := members("a", "b", "c")
	hosts[1].DeviceBytes = 512 << 20
	l := up(t, lab.Config{Hosts: hosts})
	b := l.Host("b")
	const mount = "mkdir -p /var/lib/etcd/prod && mount /dev/sdb /var/lib/etcd/prod"
	inHost(t, b, "sh", "-c", "mkfs.ext4 -q /dev/sdb && "+mount)
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	w.apply()
	w.mustBeSettled()
	c, endpoints := w.client(), w.endpoints()
	c.must(endpoints[0], "put", "kept", "1")

	if err := b.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if err := b.PowerOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	output, _ := w.planCode()
	if flat := flatten(output); !strings.Contains(flat, "blocked") || !strings.Contains(flat, "mount what belongs there") {
		t.Errorf("a plan with the disk not mounted says\n%s", output)
	}
	w.run("apply", "-auto-approve", "-no-color") // whatever it comes to, it touches nothing there
	below := inHost(t, b, "sh", "-c", "ls -A /var/lib/etcd/prod; systemctl is-active etcd@prod || true")
	if strings.Contains(below, "member") || strings.HasPrefix(strings.TrimSpace(below), "active") {
		t.Errorf("below the mount point there is now\n%s", below)
	}
	c.must(endpoints[0], "put", "meanwhile", "1")

	inHost(t, b, "sh", "-c", mount)
	w.apply()
	w.mustBeSettled()
	if got := c.must(endpoints[1], "get", "kept", "--print-value-only"); strings.TrimSpace(got) != "1" {
		t.Errorf("kept is %q on b", got)
	}
	attributes, _ := w.state("etcd_cluster.prod")
	if rollout := strings.Join(texts(t, attributes["rollout"]), "\n"); strings.Contains(rollout, "join") || strings.Contains(rollout, "remove") {
		t.Errorf("once mounted, the member was built anew:\n%s", rollout)
	}
}
