package acctest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestHostsAsTheyAre forms a cluster on hosts that are not as an image is: packets leave them by another address than
// the member's, systemd hands a proxy to every service, and /usr/local/lib is a link, as on systems that are updated as
// a whole. Members reach each other all the same, and there is nothing to do afterwards.
func TestHostsAsTheyAre(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	for i, h := range l.Hosts {
		inHost(t, h, "sh", "-ec", fmt.Sprintf(`
			device=$(ip -o -4 route show 192.0.2.0/24 | sed -n 's/.* dev \([^ ]*\).*/\1/p')
			ip address add 192.0.2.%d/24 dev $device
			ip route change 192.0.2.0/24 dev $device src 192.0.2.%[1]d
			mkdir -p /etc/systemd/system.conf.d /var/usrlocal
			printf '[Manager]\nDefaultEnvironment=HTTPS_PROXY=http://192.0.2.200:3128 http_proxy=http://192.0.2.200:3128\n' >/etc/systemd/system.conf.d/proxy.conf
			systemctl daemon-reexec
			mv /usr/local/lib /var/usrlocal/lib
			ln -s /var/usrlocal/lib /usr/local/lib`, 101+i))
	}
	w := newWorkspace(t, l, configuration(t, l, setup{}))
	w.apply()
	w.mustBeSettled()
	client := w.client()
	for i, endpoint := range w.endpoints() {
		client.must(endpoint, "put", fmt.Sprintf("key/%d", i), "value")
	}
	for _, h := range l.Hosts {
		if environment := inHost(t, h, "sh", "-c", "tr '\\0' '\\n' </proc/$(systemctl show --value -p MainPID etcd@prod)/environ"); strings.Contains(strings.ToLower(environment), "proxy") {
			t.Errorf("%s: the member is given a proxy:\n%s", h.Config.Name, environment)
		}
	}
	w.write("main.tf", configuration(t, l, setup{cluster: `settings = { snapshot_count = 5000 }`}))
	w.apply()
	w.mustBeSettled()

	// An address that the host does not have, and a port that no member may bind.
	b := l.Host("b")
	w.write("main.tf", configuration(t, l, setup{member: map[string]string{"b": fmt.Sprintf("address = \"192.0.2.77\", ssh_address = %q, host_key = %q", b.Address(), hostKey(t, b))}}))
	w.mustFail([]string{"apply", "-auto-approve", "-no-color"}, "192.0.2.77")
	w.write("main.tf", configuration(t, l, setup{cluster: `client_port = 443`}))
	w.mustFail([]string{"plan", "-no-color"}, "client_port is 443", "the ports from 1024 to 65535 alone")
	for _, h := range l.Hosts {
		inHost(t, h, "sh", "-ec", "mount -o remount,bind,rw /proc/sys; echo 443 >/proc/sys/net/ipv4/ip_unprivileged_port_start")
	}
	w.apply()
	w.mustBeSettled()
}
