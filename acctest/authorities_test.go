package acctest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestAuthoritiesAreExchanged exchanges both authorities of a cluster under load, with certificates of the old ones
// served throughout, and back; and then for others whose predecessors' keys are not at hand, in one apply, after which
// the old ones open nothing any more.
func TestAuthoritiesAreExchanged(t *testing.T) {
	sample.Leave(t, "TestAuthoritiesAreRotated exchanges authorities on booted hosts, and the executor's tests exchange any for any others")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	with := func(pki string) string {
		main := configuration(t, l, setup{})
		if !strings.Contains(main, "etcd_pki.prod.authority\n") {
			t.Fatal("the cluster takes its authorities from elsewhere")
		}
		return strings.Replace(main, "etcd_pki.prod.authority\n", pki+"\n", 1) + `
resource "etcd_pki" "next" {
  name = "next"
}

resource "etcd_certificate" "next" {
  pki              = etcd_pki.next.client_authority
  common_name      = "root"
  private_key_file = "next.key"
  certificate_file = "next.crt"
}
`
	}
	both := func(signs, trusted string) string {
		return "{ peer = etcd_pki." + signs + ".authority.peer, client = etcd_pki." + signs + ".authority.client, trusted = { peer = etcd_pki." + trusted + ".authority.peer, client = etcd_pki." + trusted + ".authority.client } }"
	}
	v := &underLoad{workspace: newWorkspace(t, l, with(both("prod", "next")))}
	v.apply()
	v.load(light)
	exchange := func(name, pki string, steps ...string) {
		t.Helper()
		v.write("main.tf", with(pki))
		planned := strings.Join(v.planned(), "\n")
		for _, step := range steps {
			if !strings.Contains(planned, step) {
				t.Errorf("%s: the plan has no %q:\n%s", name, step, planned)
			}
		}
		v.repair(name)
	}
	exchange("the next ones sign", both("next", "prod"), "renew certificates of a", "renew certificates of c")
	exchange("back, and the next ones go", "etcd_pki.prod.authority", "renew certificates of b", "no longer trusts authority ")
	v.check(besideOthers)

	// As where the state was lost with the keys in it: the cluster is imported, and given other authorities, in one
	// apply.
	v.must("state", "rm", "etcd_cluster.prod")
	var addresses []string
	for _, h := range l.Hosts {
		addresses = append(addresses, h.Address())
	}
	known, err := l.KnownHosts()
	if err != nil {
		t.Fatal(err)
	}
	v.write("known_hosts", known)
	v.env = append(slices.Clip(v.env), "ETCD_SSH_KNOWN_HOSTS_FILE="+filepath.Join(v.dir, "known_hosts"))
	v.write("main.tf", with("etcd_pki.next.authority")+"import {\n  to = etcd_cluster.prod\n  id = \"prod@"+strings.Join(addresses, ",")+"\"\n}\n")
	v.must("apply", "-auto-approve", "-no-color")
	v.mustBeSettled()
	old := v.client()
	next := etcdctl{v.workspace, []string{"--cacert=" + v.dir + "/ca.crt", "--cert=" + v.dir + "/next.crt", "--key=" + v.dir + "/next.key"}}
	for _, endpoint := range v.endpoints() {
		next.must(endpoint, "put", "exchanged", endpoint)
	}
	if output, err := old.run(strings.Join(v.endpoints(), ","), "get", "exchanged"); err == nil {
		t.Errorf("a client is served whose certificate is of an authority that is gone: %s", output)
	}
}
