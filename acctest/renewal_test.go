package acctest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// lastRenewal is the record of a host's last run; nil: there is none.
func lastRenewal(t *testing.T, h *lab.Host) *api.RenewalRun {
	t.Helper()
	text := inHost(t, h, "sh", "-c", "cat /etc/etcd/prod/renewed.json 2>/dev/null || true")
	if strings.TrimSpace(text) == "" {
		return nil
	}
	var run api.RenewalRun
	if err := json.Unmarshal([]byte(text), &run); err != nil {
		t.Fatalf("%s: %v\n%s", h.Config.Name, err, text)
	}
	return &run
}

// TestRenewalOnHosts leaves a cluster alone whose certificates are near their end: its hosts renew them by their
// timers, with no terraform process and no restart, and clients go on. While the signing server is away they stay as
// they are, and the plan says so.
func TestRenewalOnHosts(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	web, err := pki.NewAuthority("web", pki.ECDSAP256, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	peers, clients := newCFSSL(t, l, web, "prod peers", 8888), newCFSSL(t, l, web, "prod clients", 8889)
	for _, server := range []*cfssl{peers, clients} {
		server.stop()
		server.address, server.expiry = operator, "8h"
		server.start()
	}
	main := func(more string) string {
		text := configuration(t, l, setup{cluster: `certificates = { renew_before = "474m" }`})
		given := func(c *cfssl, more string) string {
			return strings.Replace(c.remote(), ", ca_certificate", more+", ca_certificate", 1)
		}
		text = strings.Replace(text, "etcd_pki.prod.authority\n", "{ peer = "+given(peers, more)+", client = "+given(clients, more)+" }\n", 1)
		text = strings.Replace(text, "etcd_pki.prod.client_authority\n", "{ client = "+clients.remote()+" }\n", 1)
		return strings.Replace(text, "resource \"etcd_pki\" \"prod\" {\n  name = \"prod\"\n}\n", "", 1)
	}
	onHosts := fmt.Sprintf(", on_hosts = { auth_key = %q }", remoteKey)
	v := &underLoad{workspace: emptyWorkspace(t, l)}
	v.write("web-ca.crt", string(web.CertificatePEM()))
	v.write("main.tf", main(onHosts))
	v.must("init", "-no-color")
	v.apply()
	client := v.client()
	client.must(v.endpoints()[0], "put", "left", "alone")
	processes, pairs := map[string]string{}, map[string]string{}
	for _, h := range l.Hosts {
		processes[h.Config.Name] = inHost(t, h, "systemctl", "show", "-p", "MainPID", "-p", "ExecMainStartTimestamp", "etcd@prod")
		pairs[h.Config.Name] = inHost(t, h, "sh", "-c", "sha256sum /etc/etcd/prod/tls/*.key /etc/etcd/prod/tls/peer.crt /etc/etcd/prod/tls/server.crt /etc/etcd/prod/tls/admin.crt")
		if mode := inHost(t, h, "stat", "-c", "%a %U", api.RenewalFile("prod")); strings.TrimSpace(mode) != "600 root" {
			t.Errorf("%s: the key of hosts is %s", h.Config.Name, mode)
		}
	}

	// The servers sign for a year from here on, and the timers do not wait for the night.
	for _, server := range []*cfssl{peers, clients} {
		server.stop()
		server.expiry = "8760h"
		server.start()
	}
	v.load(light)
	for _, h := range l.Hosts {
		inHost(t, h, "sh", "-c", "mkdir -p /etc/systemd/system/etcd-renew@prod.timer.d && printf '[Timer]\\nOnCalendar=\\nOnCalendar=*:*:0/5\\nRandomizedDelaySec=0\\n' >/etc/systemd/system/etcd-renew@prod.timer.d/soon.conf && systemctl daemon-reload && systemctl restart etcd-renew@prod.timer")
	}
	for _, h := range l.Hosts {
		for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(time.Second) {
			run := lastRenewal(t, h)
			if run != nil && !run.Good.IsZero() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: its last run is %+v\n%s", h.Config.Name, run, inHost(t, h, "sh", "-c", "journalctl --no-pager -u etcd-renew@prod | tail -30; systemctl status --no-pager etcd-renew@prod.timer"))
			}
		}
		inHost(t, h, "sh", "-c", "rm -r /etc/systemd/system/etcd-renew@prod.timer.d && systemctl daemon-reload && systemctl restart etcd-renew@prod.timer")
		before := strings.Split(pairs[h.Config.Name], "\n")
		after := inHost(t, h, "sh", "-c", "sha256sum /etc/etcd/prod/tls/*.key /etc/etcd/prod/tls/peer.crt /etc/etcd/prod/tls/server.crt /etc/etcd/prod/tls/admin.crt")
		for _, line := range before {
			if line != "" && strings.Contains(after, line) {
				t.Errorf("%s: it was not renewed: %s", h.Config.Name, line)
			}
		}
		if now := inHost(t, h, "systemctl", "show", "-p", "MainPID", "-p", "ExecMainStartTimestamp", "etcd@prod"); now != processes[h.Config.Name] {
			t.Errorf("%s: its member was restarted: %s, and was %s", h.Config.Name, now, processes[h.Config.Name])
		}
		if told := inHost(t, h, "cat", api.RenewalMetricsFile("prod")); !strings.Contains(told, fmt.Sprintf("last_run_success{cluster=\"prod\",member=%q} 1\n", h.Config.Name)) {
			t.Errorf("%s: monitoring is told\n%s", h.Config.Name, told)
		}
	}
	v.mustBeSettled() // members serve what lies in their files
	v.check(besideOthers)
	for _, endpoint := range v.endpoints() {
		client.must(endpoint, "get", "left")
	}

	// While a server is away, nothing changes, and the plan says why.
	a := l.Host("a")
	before := inHost(t, a, "sh", "-c", "sha256sum /etc/etcd/prod/tls/*")
	clients.stop()
	if said := inHost(t, a, "sh", "-c", "/usr/local/lib/etcd-store/prod/store renew prod --now 2>&1 || true"); !strings.Contains(said, "certificate server was not renewed, and is as it was") {
		t.Errorf("by hand it says %s", said)
	}
	if run := lastRenewal(t, a); run == nil || !strings.Contains(run.Error, "connection refused") || len(run.Renewed) != 1 || run.Renewed[0] != api.KeyPeer {
		t.Errorf("it remembers %+v", run)
	}
	after := inHost(t, a, "sh", "-c", "sha256sum /etc/etcd/prod/tls/*")
	for _, line := range strings.Split(before, "\n") {
		if line != "" && !strings.Contains(line, "/peer.") && !strings.Contains(after, line) {
			t.Errorf("it is another: %s\n%s", line, after)
		}
	}
	if said, _ := v.planCode(); !strings.Contains(said, "Hosts of cluster prod could not renew certificates") || !strings.Contains(said, "connection refused") {
		t.Errorf("the plan does not say that a has failed:\n%s", said)
	}
	clients.start()
	if said := inHost(t, a, "sh", "-c", "systemctl start etcd-renew@prod; journalctl --no-pager -u etcd-renew@prod | tail -5"); !strings.Contains(said, "certificate server is not due") {
		t.Errorf("its unit says %s", said)
	}
	if said, _ := v.planCode(); strings.Contains(said, "could not renew certificates") {
		t.Errorf("the plan warns on:\n%s", said)
	}

	// The key of hosts goes with what it is for.
	v.write("main.tf", main(""))
	if said := v.must("apply", "-auto-approve", "-no-color"); !strings.Contains(said, "renew on hosts: disabled on a, b, c") {
		t.Errorf("the apply says\n%s", said)
	}
	v.mustBeSettled()
	for _, h := range l.Hosts {
		if left := inHost(t, h, "sh", "-c", "ls -d /etc/etcd/prod/rene* /etc/systemd/system/etcd-renew* /var/lib/etcd-metrics/etcd_renewal* 2>/dev/null; systemctl list-timers --all --no-legend 'etcd-renew@*'; true"); strings.TrimSpace(left) != "" {
			t.Errorf("%s: it has %s", h.Config.Name, left)
		}
	}
	if text := v.read("terraform.tfstate"); strings.Contains(text, remoteKey) {
		t.Error("the state holds the key of hosts")
	}
}
