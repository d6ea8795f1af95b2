package acctest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// remoteKey is the key by which the signers tell their callers.
const remoteKey = "c0ffee00c0ffee11c0ffee22c0ffee33"

// cfssl is a real `cfssl serve` in the operator's network, which alone has an authority's key.
type cfssl struct {
	t         *testing.T
	lab       *lab.Lab
	dir       string // with its files, which nobody else reads
	address   string // in the lab's network
	port      int
	expiry    string // of certificates, as cfssl writes it
	authority *pki.Authority
	process   *exec.Cmd
	said      bytes.Buffer
}

// newCFSSL makes an authority and the server's configuration with the profiles of cfssl's documentation, and starts it.
// web signs its own certificate.
func newCFSSL(t *testing.T, l *lab.Lab, web *pki.Authority, name string, port int) *cfssl {
	t.Helper()
	handedOver(t, "ETCD_CFSSL")
	authority, err := pki.NewAuthority(name, pki.ECDSAP256, pki.DefaultAuthorityLifetime, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c := &cfssl{t: t, lab: l, dir: t.TempDir(), address: "127.0.0.1", port: port, expiry: "8760h", authority: authority}
	c.writePair("ca", authority.KeyPair)
	served, err := web.NewLeaf(t.Context(), pki.Request{Profile: pki.Server, CommonName: "signer", IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr(operator)}}, pki.ECDSAP256, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.writePair("web", served)
	c.start()
	return c
}

// operator is the address of the operator's machine in a lab's network, as hosts reach it.
const operator = "192.0.2.1"

// configure writes the server's configuration.
func (c *cfssl) configure() {
	c.t.Helper()
	profile := func(usages ...string) map[string]any {
		return map[string]any{"expiry": c.expiry, "auth_key": "ours", "usages": append([]string{"signing", "key encipherment"}, usages...)}
	}
	config, err := json.Marshal(map[string]any{
		"auth_keys": map[string]any{"ours": map[string]string{"type": "standard", "key": remoteKey}},
		"signing": map[string]any{
			"default":  map[string]any{"expiry": "1h", "auth_key": "ours"},
			"profiles": map[string]any{"peer": profile("server auth", "client auth"), "server": profile("server auth", "client auth"), "client": profile("client auth")},
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.write("config.json", config)
}

func (c *cfssl) writePair(name string, pair pki.KeyPair) {
	c.t.Helper()
	key, err := pair.PrivateKeyPEM()
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(name+".crt", pair.CertificatePEM())
	c.write(name+".key", key)
}

func (c *cfssl) write(name string, text []byte) {
	c.t.Helper()
	if err := os.WriteFile(c.file(name), text, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cfssl) file(name string) string { return filepath.Join(c.dir, name) }

// start starts the server, and returns when it is reached.
func (c *cfssl) start(flags ...string) {
	c.t.Helper()
	c.configure()
	c.run(append([]string{"serve", "-address=" + c.address, fmt.Sprintf("-port=%d", c.port), "-ca=" + c.file("ca.crt"), "-ca-key=" + c.file("ca.key"),
		"-config=" + c.file("config.json"), "-tls-cert=" + c.file("web.crt"), "-tls-key=" + c.file("web.key")}, flags...)...)
}

func (c *cfssl) run(args ...string) {
	c.t.Helper()
	c.process = c.lab.Command(c.t.Context(), os.Getenv("ETCD_CFSSL"), args...)
	c.process.Stdout, c.process.Stderr = &c.said, &c.said
	c.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.process.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.stop)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := c.lab.Command(c.t.Context(), "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/%d", c.address, c.port)).Run()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.stop()
			c.t.Fatalf("cfssl does not listen: %v\n%s", err, c.said.String())
		}
	}
}

// stop ends what answers at the server's port.
func (c *cfssl) stop() {
	if c.process == nil {
		return
	}
	c.signal(syscall.SIGKILL)
	_ = c.process.Wait()
	c.process = nil
}

func (c *cfssl) signal(s syscall.Signal) { _ = syscall.Kill(-c.process.Process.Pid, s) }

// remote is the authority as a configuration has it.
func (c *cfssl) remote() string {
	return fmt.Sprintf(`{ certificate = file(%q), remote = { url = "https://%s:%d", auth_key = %q, ca_certificate = file("web-ca.crt") } }`,
		c.file("ca.crt"), c.address, c.port, remoteKey)
}

// TestRemoteSigner lives with a cluster whose authorities' keys two cfssl servers have: it is formed, renewed and
// grows; and while a server is down, or does not sign, nothing of the cluster is touched.
func TestRemoteSigner(t *testing.T) {
	sample.Leave(t, "the resources have a test of this name, TestRenewalOnHosts has hosts ask cfssl, and tests of pki/remote the provider")
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	web, err := pki.NewAuthority("web", pki.ECDSAP256, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	peers, clients := newCFSSL(t, l, web, "prod peers", 8888), newCFSSL(t, l, web, "prod clients", 8889)
	with := func(names string, hosts map[string]string) string {
		main := configuration(t, l, setup{at: hosts, cluster: names})
		main = strings.Replace(main, "etcd_pki.prod.authority\n", "{ peer = "+peers.remote()+", client = "+clients.remote()+" }\n", 1)
		main = strings.Replace(main, "etcd_pki.prod.client_authority\n", "{ client = "+clients.remote()+" }\n", 1)
		return strings.Replace(main, "resource \"etcd_pki\" \"prod\" {\n  name = \"prod\"\n}\n", "", 1)
	}
	one, three := map[string]string{"a": "a"}, map[string]string{"a": "a", "b": "b", "c": "c"}
	v := &underLoad{workspace: emptyWorkspace(t, l)}
	v.write("web-ca.crt", string(web.CertificatePEM()))
	v.write("main.tf", with("", one))
	v.must("init", "-no-color")
	v.apply()
	v.mustBeSettled()
	client := v.client()
	client.must(v.endpoints()[0], "put", "signed", "remotely")

	// A name more is a new certificate, for which the servers have to sign.
	named := `extra_server_names = ["etcd.example.com"]`
	served := func() string {
		// Keys that are next may wait there for their certificates.
		return inHost(t, l.Host("a"), "sh", "-c", "systemctl show -p MainPID -p ExecMainStartTimestamp etcd@prod; cd /etc/etcd/prod/tls && sha256sum *.crt admin.key peer.key server.key")
	}
	before := served()
	failing := map[string]struct {
		begin, end func()
		says       []string
	}{
		"down":                   {clients.stop, func() { clients.start() }, []string{"https://127.0.0.1:8889", "connection refused", "nothing was signed"}},
		"one that does not sign": {func() { clients.stop(); clients.start("-disable=authsign") }, func() { clients.stop(); clients.start() }, []string{"https://127.0.0.1:8889", "404 Not Found, and not as cfssl does"}},
		// What it signs is nonsense to this cluster.
		"one of another authority": {func() { clients.stop(); clients.start("-ca="+peers.file("ca.crt"), "-ca-key="+peers.file("ca.key")) }, func() { clients.stop(); clients.start() }, []string{"https://127.0.0.1:8889", "was discarded"}},
	}
	v.write("main.tf", with(named, one))
	for name, f := range failing {
		f.begin()
		v.applyFails(f.says...)
		if after := served(); after != before {
			t.Errorf("%s: member a was touched:\n%s\n%s", name, before, after)
		}
		client.must(v.endpoints()[0], "get", "signed")
		f.end()
	}

	// One that is slow is waited for.
	clients.signal(syscall.SIGSTOP)
	resumed := time.AfterFunc(3*time.Second, func() { clients.signal(syscall.SIGCONT) })
	defer resumed.Stop()
	v.must("apply", "-auto-approve", "-no-color")
	v.mustBeSettled()

	v.write("main.tf", with(named, three))
	v.must("apply", "-auto-approve", "-no-color")
	v.mustBeSettled()
	for _, endpoint := range v.endpoints() {
		client.must(endpoint, "get", "signed")
	}

	// No key has left its server, and the one by which the servers tell us stays in the configuration.
	for _, name := range []string{"terraform.tfstate", "progress.log"} {
		text := v.read(name)
		if strings.Contains(text, remoteKey) || strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("%s holds a key", name)
		}
	}
}
