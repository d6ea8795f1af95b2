package acctest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestClientIsRevoked revokes one of two clients on booted hosts: the apply restarts no member, from its end on every
// member refuses that client, and serves the other. Each host says when its certificates expire.
func TestClientIsRevoked(t *testing.T) {
	sample.Leave(t, "TestClientsAreRevoked is its like in the resources")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	with := func(revoked string) string {
		main := configuration(t, l, setup{cluster: "client_crl = etcd_pki.prod.client_crl"})
		return strings.Replace(main, "  name = \"prod\"\n}", "  name = \"prod\"\n  revoked = ["+revoked+"]\n}", 1) + `
resource "etcd_certificate" "stolen" {
  pki              = etcd_pki.prod.client_authority
  common_name      = "stolen"
  private_key_file = "stolen.key"
  certificate_file = "stolen.crt"
}
`
	}
	w := newWorkspace(t, l, with(""))
	w.apply()
	w.mustBeSettled()
	kept := w.client()
	file := func(name string) string { return filepath.Join(w.dir, name) }
	stolen := etcdctl{w, []string{"--cacert=" + file("ca.crt"), "--cert=" + file("stolen.crt"), "--key=" + file("stolen.key")}}
	for _, endpoint := range w.endpoints() {
		stolen.must(endpoint, "put", "k", "v")
	}
	processes := func() string {
		var all strings.Builder
		for _, h := range l.Hosts {
			all.WriteString(inHost(t, h, "systemctl", "show", "-p", "MainPID", "-p", "ExecMainStartTimestamp", "etcd@prod"))
		}
		return all.String()
	}
	before := processes()

	attributes, _ := w.state("etcd_certificate.stolen")
	w.write("main.tf", with(fmt.Sprintf("%q", attributes["serial_number"])))
	w.apply()
	for _, endpoint := range w.endpoints() {
		if output, err := stolen.run(endpoint, "get", "k"); err == nil {
			t.Errorf("%s serves a client whose certificate is revoked: %s", endpoint, output)
		}
		kept.must(endpoint, "get", "k")
	}
	w.mustBeSettled()
	if after := processes(); after != before {
		t.Errorf("members were restarted:\n%s\n%s", before, after)
	}
	for _, h := range l.Hosts {
		metrics := inHost(t, h, "cat", "/var/lib/etcd-metrics/etcd_certificates_prod.prom")
		for _, name := range []string{"peer", "server", "admin", "peer-ca", "client-ca"} {
			if !strings.Contains(metrics, fmt.Sprintf("file=%q", name)) {
				t.Errorf("host %s does not say when %s expires:\n%s", h.Config.Name, name, metrics)
			}
		}
	}
}
