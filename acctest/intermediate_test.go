package acctest

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/pkitest"
)

// TestIntermediates forms a cluster whose authorities are two intermediates of one company. Clients that know only the
// company's root verify members, by etcdctl and by openssl; a certificate of another intermediate of the company opens
// no port; and a chain that is renewed above the two reaches the ports without a restart.
func TestIntermediates(t *testing.T) {
	sample.Leave(t, "TestClusterOfIntermediates has the same authorities in the resources, and TestIntermediatesFollowWhatIsSigned has openssl verify their chains")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	now := time.Now()
	company := pkitest.New(t, now, nil)
	clients := pkitest.Certify(t, "company etcd clients", &company.Middle, now, nil)
	main := configuration(t, l, setup{})
	main = strings.Replace(main, "etcd_pki.prod.authority\n", "local.authorities\n", 1)
	main = strings.Replace(main, "etcd_pki.prod.client_authority\n", "local.authorities\n", 1)
	main = strings.Replace(main, "resource \"etcd_pki\" \"prod\" {\n  name = \"prod\"\n}\n", `
locals {
  authorities = {
    peer   = { certificate = file("peers.pem"), private_key = file("peers.key") }
    client = { certificate = file("clients.pem"), private_key = file("clients.key") }
  }
}
`, 1)
	w := emptyWorkspace(t, l)
	file := func(name string) string { return filepath.Join(w.dir, name) }
	w.write("peers.pem", company.Signs.PEM(company.Middle, company.Root))
	w.write("peers.key", company.Signs.KeyPEM(t))
	w.write("clients.pem", clients.PEM(company.Middle))
	w.write("clients.key", clients.KeyPEM(t))
	w.write("root.crt", company.Root.PEM())
	w.write("main.tf", main)
	w.must("init", "-no-color")
	w.apply()
	w.mustBeSettled()

	byRoot := etcdctl{w, []string{"--cacert=" + file("root.crt"), "--cert=" + file("client.crt"), "--key=" + file("client.key")}}
	byIntermediate := w.client()
	sibling, err := pki.ParseAuthority([]byte(company.Sibling.PEM(company.Middle)), []byte(company.Sibling.KeyPEM(t)), now)
	if err != nil {
		t.Fatal(err)
	}
	others, err := sibling.NewLeaf(t.Context(), pki.Request{Profile: pki.Client, CommonName: "root"}, pki.ECDSAP256, now)
	if err != nil {
		t.Fatal(err)
	}
	othersKey, err := others.PrivateKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	w.write("others.crt", string(others.CertificatePEM()))
	w.write("others.key", string(othersKey))
	refused := etcdctl{w, []string{"--cacert=" + file("root.crt"), "--cert=" + file("others.crt"), "--key=" + file("others.key")}}
	shows := func(endpoint string, names ...string) { // what openssl, which knows only the root, says of a port
		t.Helper()
		u, err := url.Parse(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range []string{"2379", "2380"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			output, err := l.Command(ctx, "openssl", "s_client", "-connect", u.Hostname()+":"+port, "-CAfile", file("root.crt"), "-no-CApath", "-no-CAstore",
				"-verify_return_error", "-verify_ip", u.Hostname(), "-showcerts", "-tls1_2", "-cert", file("client.crt"), "-key", file("client.key")).CombinedOutput()
			cancel()
			text := string(output)
			// Peers let no client in: openssl has verified the port by then, and is refused after that.
			verified := strings.Contains(text, "verify return:1") && !strings.Contains(text, "verify error")
			if !verified || port == "2379" && err != nil {
				t.Errorf("openssl does not verify %s, port %s: %v\n%s", endpoint, port, err, text)
			}
			for _, name := range names {
				if port == "2379" && !strings.Contains(text, name) {
					t.Errorf("%s does not show %q:\n%s", endpoint, name, text)
				}
			}
		}
	}
	use := func(value string, names ...string) {
		t.Helper()
		for _, endpoint := range w.endpoints() {
			byRoot.must(endpoint, "put", "known", value)
			byIntermediate.must(endpoint, "get", "known")
			if output, err := refused.run(endpoint, "get", "known"); err == nil {
				t.Errorf("%s serves a client of another intermediate: %s", endpoint, output)
			}
			shows(endpoint, names...)
		}
	}
	use("by its root", "company etcd clients", "company middle")

	processes := func() string {
		var all strings.Builder
		for _, h := range l.Hosts {
			all.WriteString(inHost(t, h, "systemctl", "show", "-p", "MainPID", "-p", "ExecMainStartTimestamp", "etcd@prod"))
		}
		return all.String()
	}
	before := processes()
	renewed := pkitest.Certify(t, "company upper middle", &company.Root, now, nil)
	middle := pkitest.Again(t, company.Middle, &renewed, now, nil)
	w.write("peers.pem", company.Signs.PEM(middle, renewed, company.Root))
	w.write("clients.pem", clients.PEM(middle, renewed))
	planned, _ := w.planCode()
	for _, h := range l.Hosts {
		if step := fmt.Sprintf("renew the chain on %s (%s)", h.Config.Name, h.Address()); !strings.Contains(planned, step) {
			t.Errorf("the plan has no %q:\n%s", step, planned)
		}
	}
	w.apply()
	w.mustBeSettled()
	use("by a longer chain", "company etcd clients", "company middle", "company upper middle")
	if after := processes(); after != before {
		t.Errorf("members were restarted:\n%s\n%s", before, after)
	}
}
