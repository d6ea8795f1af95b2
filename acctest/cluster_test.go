package acctest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
)

// TestLifeOfACluster is the main job, whole: three bare hosts become a cluster that serves with TLS
// alone, survives the reboot of all of them, goes away with destroy, and comes back.
func TestLifeOfACluster(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	w := newWorkspace(t, l, configuration(t, l, setup{}))

	w.apply()
	w.mustBeSettled()
	first := w.clusterID()
	w.mustRollOut("install a", "start c", "agree: 3 voters, one cluster ID, one leader, quorum 2", "sync configuration of b")

	client := w.client()
	for i, endpoint := range w.endpoints() {
		key, value := fmt.Sprintf("through/%d", i), endpoint
		client.must(endpoint, "put", key, value)
	}
	for _, endpoint := range w.endpoints() {
		for i, want := range w.endpoints() {
			if got := client.must(endpoint, "get", "--print-value-only", fmt.Sprintf("through/%d", i)); strings.TrimSpace(got) != want {
				t.Errorf("%s answers %q, want %q", endpoint, got, want)
			}
		}
	}
	for name, other := range map[string]etcdctl{"no certificate": client.without("--cert", "--key"), "no CA": client.without("--cacert")} {
		if output, err := other.run(w.endpoints()[0], "get", "through/0"); err == nil {
			t.Errorf("a client with %s was served: %s", name, output)
		}
	}
	checkMembers(t, l)

	for _, h := range l.Hosts {
		if err := h.Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	client.await(w.endpoints(), "get", "through/1")
	w.mustBeSettled()

	w.destroy()
	if log := w.read("progress.log"); !strings.Contains(log, "its data now lies in /var/lib/etcd/prod.") {
		t.Errorf("the progress log does not say where the data lies:\n%s", log)
	}
	for _, h := range l.Hosts {
		mustBeBare(t, h)
		if aside := inHost(t, h, "ls", "/var/lib/etcd"); !strings.HasPrefix(aside, "prod.") {
			t.Errorf("%s: the data was not moved aside: %q", h.Config.Name, aside)
		}
	}
	w.apply()
	w.mustBeSettled()
	if second := w.clusterID(); second == first {
		t.Errorf("the second cluster has the ID of the first, %s: members of the two could join", first)
	}
	if got := w.client().must(w.endpoints()[0], "get", "through/1"); got != "" {
		t.Errorf("the second cluster knows what the first was told: %q", got)
	}
}

// checkMembers looks at each host: what runs there, by which configuration, and what others may read.
func checkMembers(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, h := range l.Hosts {
		name := h.Config.Name
		flags := inHost(t, h, "cat", "/etc/etcd/prod/flags")
		for _, want := range []string{"--initial-cluster-state=existing", "--client-cert-auth=true", "--peer-client-cert-auth=true", "--strict-reconfig-check=true"} {
			if !strings.Contains(flags, want+"\n") {
				t.Errorf("%s: flags lack %s:\n%s", name, want, flags)
			}
		}
		if n := strings.Count(flags, "=https://"); n < 3 {
			t.Errorf("%s: initial-cluster does not name all members:\n%s", name, flags)
		}
		if readable := inHost(t, h, "find", "/etc/etcd/prod/tls", "-name", "*.key", "-not", "-perm", "0600"); readable != "" {
			t.Errorf("%s: keys that others may read: %s", name, readable)
		}
		if who := strings.TrimSpace(inHost(t, h, "ps", "-o", "user=", "-C", "etcd,store")); who != "etcd" {
			t.Errorf("%s: the member runs as %q", name, who)
		}
		if version := inHost(t, h, "etcdctl", "version"); !strings.Contains(version, "etcdctl version: 3.7") {
			t.Errorf("%s: etcdctl says %q", name, version)
		}
	}
}

// mustBeBare fails the test where a host still carries anything of a cluster but data moved aside.
func mustBeBare(t *testing.T, h *lab.Host) {
	t.Helper()
	for _, path := range []string{"/etc/etcd", "/usr/local/lib/etcd-store", "/etc/systemd/system/etcd@prod.service", "/var/lib/etcd/prod", "/usr/local/bin/etcdctl"} {
		if _, err := h.Run(t.Context(), "sh", "-c", "! [ -e "+path+" ] && ! [ -L "+path+" ]"); err != nil {
			t.Errorf("%s: %s is still there", h.Config.Name, path)
		}
	}
	if output := inHost(t, h, "sh", "-c", "systemctl list-unit-files --no-legend 'etcd@*' || true"); strings.TrimSpace(output) != "" {
		t.Errorf("%s: systemd still knows %s", h.Config.Name, output)
	}
}
