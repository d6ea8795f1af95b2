package acctest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestRefusedCreates has a create meet what goes wrong in life. Each time the error says what and where,
// no host carries anything of the cluster afterwards, and once it is mended the same apply succeeds.
func TestRefusedCreates(t *testing.T) {
	t.Parallel()
	configs := members("a", "b", "c")
	// Room for neither the store nor its archive, at first.
	configs[2].SmallUsr = 20 << 20
	l := up(t, lab.Config{Hosts: configs})
	a, b, c := l.Host("a"), l.Host("b"), l.Host("c")
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	w.must("apply", "-auto-approve", "-no-color", "-target=etcd_pki.prod")

	refused := func(name string, s setup, texts ...string) {
		t.Helper()
		w.write("main.tf", configuration(t, l, s))
		w.applyFails(texts...)
		for _, h := range l.Hosts {
			if h.On() {
				mustBeUntouched(t, h)
			}
		}
		if attributes, _ := w.state("etcd_cluster.prod"); attributes != nil {
			t.Errorf("%s: a create that was refused left a state: %v", name, attributes)
		}
	}

	refused("no space", setup{}, "c (192.0.2.13)", "MiB are free for /usr/local/lib/etcd-store")
	inHost(t, c, "mount", "-o", "remount,size=512m", "/usr/local")

	inHost(t, c, "mount", "-o", "remount,ro", "/usr/local")
	refused("read-only", setup{}, "c (192.0.2.13)", "read-only")
	inHost(t, c, "mount", "-o", "remount,rw", "/usr/local")

	// Hosts that somebody has hardened, each in another way: one refusal names both.
	inHost(t, a, "sh", "-c", "echo MaxSessions 1 >/etc/ssh/sshd_config.d/one.conf; systemctl reload ssh")
	inHost(t, b, "sh", "-c", "echo 0 >/run/none; mount --bind /run/none /proc/sys/user/max_user_namespaces")
	refused("hardened", setup{}, "a (192.0.2.11)", "MaxSessions 1", "b (192.0.2.12)", "user.max_user_namespaces is 0")
	inHost(t, a, "sh", "-c", "rm /etc/ssh/sshd_config.d/one.conf; systemctl reload ssh")
	inHost(t, b, "umount", "/proc/sys/user/max_user_namespaces")

	if err := b.PowerOff(); err != nil {
		t.Fatal(err)
	}
	refused("a host is down", setup{ssh: fmt.Sprintf("connect_timeout = \"5s\"\n    private_key_file = %q", l.KeyFile())}, "b (192.0.2.12)")
	if err := b.PowerOn(t.Context()); err != nil {
		t.Fatal(err)
	}

	wrong := map[string]string{"b": fmt.Sprintf("address = %q, host_key = %q", b.Address(), hostKey(t, a))}
	refused("wrong host key", setup{member: wrong}, "192.0.2.12", "SHA256:")

	other := otherHostsKey(t)
	refused("wrong key", setup{ssh: fmt.Sprintf("private_key_file = %q", other)}, "192.0.2.11", "root")

	inHost(t, a, "systemd-run", "--unit=squatter", "--quiet", "perl", "-MIO::Socket::INET", "-e",
		`my $s = IO::Socket::INET->new(LocalPort => 2380, Listen => 1) or die; sleep`)
	inHost(t, a, "sh", "-c", "until grep -q 094C /proc/net/tcp; do sleep 0.05; done")
	refused("port taken", setup{}, "a (192.0.2.11)", "listens on port 2380")
	inHost(t, a, "systemctl", "stop", "squatter")

	inHost(t, a, "sh", "-c", "mkdir -p /var/lib/etcd/prod/member && echo precious >/var/lib/etcd/prod/member/data")
	w.applyFails("a (192.0.2.11)", "data directory /var/lib/etcd/prod is not empty")
	if kept := inHost(t, a, "cat", "/var/lib/etcd/prod/member/data"); kept != "precious\n" {
		t.Errorf("someone's data reads %q", kept)
	}
	inHost(t, a, "rm", "-r", "/var/lib/etcd")

	w.write("main.tf", configuration(t, l, setup{}))
	w.apply()
	w.mustBeSettled()

	t.Run("finished cluster", func(t *testing.T) {
		other := newWorkspace(t, l, configuration(t, l, setup{}))
		before := inHost(t, a, "sh", "-c", "cat /etc/etcd/prod/cluster.json; stat -c %Y:%i /etc/etcd/prod/* ; pgrep -x etcd || pgrep store")
		other.applyFails("finished cluster prod", "to = etcd_cluster.prod")
		if after := inHost(t, a, "sh", "-c", "cat /etc/etcd/prod/cluster.json; stat -c %Y:%i /etc/etcd/prod/* ; pgrep -x etcd || pgrep store"); after != before {
			t.Errorf("a refused create changed a host of another state's cluster:\n%s\n%s", before, after)
		}
	})
	w.mustBeSettled()
}

// TestDiskFullDuringUpload has something else take the room while the store is on its way: what is asked
// for beforehand was there, and no longer is.
func TestDiskFullDuringUpload(t *testing.T) {
	t.Parallel()
	configs := members("a")
	configs[0].SmallUsr = 160 << 20
	l := up(t, lab.Config{Hosts: configs})
	a := l.Host("a")
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	w.must("apply", "-auto-approve", "-no-color", "-target=etcd_pki.prod")

	// It takes all the room as soon as an upload has begun.
	inHost(t, a, "systemd-run", "--unit=glutton", "--quiet", "sh", "-c",
		"until ls -d /usr/local/lib/etcd-store/.incoming.*; do sleep 0.01; done; fallocate -l 150M /usr/local/glutton || dd if=/dev/zero of=/usr/local/glutton bs=1M count=150")
	w.applyFails("192.0.2.11", "upload the store", "No space left on device")
	if left := strings.TrimSpace(inHost(t, a, "ls", "-A", "/usr/local/lib/etcd-store")); left != "" {
		t.Errorf("the upload that failed left %s", left)
	}
	inHost(t, a, "sh", "-c", "systemctl stop glutton; rm /usr/local/glutton")
	w.apply()
	w.mustBeSettled()
}

// mustBeUntouched fails the test where a host carries anything that a create puts there.
func mustBeUntouched(t *testing.T, h *lab.Host) {
	t.Helper()
	if found := inHost(t, h, "sh", "-c", "ls -d /usr/local/lib/etcd-store /etc/etcd /var/lib/etcd /etc/systemd/system/etcd@* 2>/dev/null; getent passwd etcd || true"); found != "" {
		t.Errorf("%s was touched: %s", h.Config.Name, found)
	}
}

// otherHostsKey is a private key that no host knows.
func otherHostsKey(t *testing.T) string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "other")
	if output, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, output)
	}
	return key
}
