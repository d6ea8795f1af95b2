package acctest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestAwkwardHosts forms a cluster whose members are known by names, on hosts from which packets leave by another
// address than the name's, to one of which the operator comes through a login shell that knows of nothing but words.
// Then two of them have no room for a snapshot, and the change goes on with that of the third.
func TestAwkwardHosts(t *testing.T) {
	sample.Leave(t, "TestOtherWaysIn and TestHostsAsTheyAre have hosts as awkward, and tests of node/ssh and of the executor the rest of these")
	t.Parallel()
	hosts := members("a", "b", "c")
	for i := range hosts {
		hosts[i].DeviceBytes = 640 << 20
	}
	l := up(t, lab.Config{Hosts: hosts})
	var names strings.Builder
	for _, h := range l.Hosts {
		fmt.Fprintf(&names, "%s etcd-%s.example\n", h.Address(), h.Config.Name)
	}
	shell := func(name, path string) { inHost(t, l.Host(name), "usermod", "-s", path, "root") }
	s := setup{member: map[string]string{}}
	for i, h := range l.Hosts {
		inHost(t, h, "sh", "-ec", fmt.Sprintf(`
			device=$(ip -o -4 route show 192.0.2.0/24 | sed -n 's/.* dev \([^ ]*\).*/\1/p')
			ip address add 192.0.2.%d/24 dev $device
			ip route change 192.0.2.0/24 dev $device src 192.0.2.%[1]d
			printf '%%s' '%s' >>/etc/hosts
			printf '%%s\n' '#!/usr/bin/perl' 'use Text::ParseWords; exec grep { $_ ne "exec" } shellwords($ARGV[1])' >/usr/local/bin/words
			chmod 755 /usr/local/bin/words`, 101+i, names.String()))
		s.member[h.Config.Name] = fmt.Sprintf("address = \"etcd-%s.example\", ssh_address = %q, host_key = %q", h.Config.Name, h.Address(), hostKey(t, h))
	}
	shell("a", "/usr/local/bin/words")
	shell("b", "/bin/false")
	shell("c", "/usr/sbin/nologin")
	w := newWorkspace(t, l, configuration(t, l, s))
	w.applyFails("etcd-b.example", "etcd-c.example", "This account is currently not available", "the login shell of user root ran no command", "ssh.user")
	for _, h := range l.Hosts {
		mustBeUntouched(t, h)
		inHost(t, h, "sh", "-c", "mkfs.ext4 -q /dev/sdb && mkdir -p /var/lib/etcd && mount /dev/sdb /var/lib/etcd")
	}
	shell("b", "/bin/bash")
	shell("c", "/bin/bash")
	w.apply()
	w.mustBeSettled()
	const etcdctl = "etcdctl --endpoints=https://127.0.0.1:2379 --cacert /etc/etcd/prod/tls/client-ca.crt --cert /etc/etcd/prod/tls/admin.crt --key /etc/etcd/prod/tls/admin.key "
	for _, h := range l.Hosts {
		inHost(t, h, "sh", "-c", etcdctl+"put key/"+h.Config.Name+" value")
	}
	if list := inHost(t, l.Host("a"), "sh", "-c", etcdctl+"member list"); strings.Count(list, ".example:2380") != 3 {
		t.Errorf("the members are\n%s", list)
	}

	// 50 MiB are left, which a member can live on.
	for _, name := range []string{"a", "b"} {
		inHost(t, l.Host(name), "sh", "-ec", `fallocate -l $(( $(df -B1 --output=avail /var/lib/etcd | tail -n1) - (50 << 20) )) /var/lib/etcd/full`)
	}
	s.cluster = `settings = { snapshot_count = 5000 }`
	w.write("main.tf", configuration(t, l, s))
	w.apply()
	w.mustRollOut("snapshot c", "roll a", "roll b", "roll c")
	for name, want := range map[string]bool{"a": false, "b": false, "c": true} {
		if taken := inHost(t, l.Host(name), "sh", "-c", "ls /var/lib/etcd/prod.snapshots 2>/dev/null || true"); strings.Contains(taken, ".db") != want {
			t.Errorf("on %s there is %q", name, taken)
		}
	}
	// Nobody has room: nothing is stopped.
	inHost(t, l.Host("c"), "sh", "-ec", `fallocate -l $(( $(df -B1 --output=avail /var/lib/etcd | tail -n1) - (50 << 20) )) /var/lib/etcd/full`)
	before := inHost(t, l.Host("a"), "systemctl", "show", "--value", "-p", "ActiveEnterTimestampMonotonic", "etcd@prod")
	s.cluster = `settings = { snapshot_count = 6000 }`
	w.write("main.tf", configuration(t, l, s))
	w.applyFails("MiB free", "free some space")
	if after := inHost(t, l.Host("a"), "systemctl", "show", "--value", "-p", "ActiveEnterTimestampMonotonic", "etcd@prod"); after != before {
		t.Error("a member was restarted without a snapshot")
	}
	for _, name := range []string{"a", "b", "c"} {
		inHost(t, l.Host(name), "rm", "/var/lib/etcd/full")
	}
	w.apply()
	w.mustBeSettled()
	w.destroy()
}
