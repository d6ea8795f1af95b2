package resources_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/remote/remotetest"
)

// signers are two servers that sign for the authorities of a cluster, and can be switched off.
type signers struct {
	pki.Authorities
	peers, clients string // in the form of a configuration
	away           atomic.Bool
	closed         atomic.Bool // the authority for clients and servers is away
	calls          atomic.Int32
}

func newSigners(t *testing.T) *signers {
	t.Helper()
	s := &signers{Authorities: madeAuthorities(t, "etcd prod", 10000*time.Hour)}
	serve := func(by *pki.Authority) string {
		cfssl := remotetest.Handler(t, by, nil)
		url, ca := remotetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.calls.Add(1)
			if s.away.Load() || s.closed.Load() && by == s.Clients {
				http.Error(w, "closed for today", http.StatusNotImplemented)
				return
			}
			cfssl.ServeHTTP(w, r)
		}))
		return fmt.Sprintf("{ certificate = %q, remote = { url = %q, auth_key = %q, ca_certificate = %q } }", by.CertificatePEM(), url, remotetest.Key, ca)
	}
	s.peers, s.clients = serve(s.Peers), serve(s.Clients)
	return s
}

func (s *signers) both() string { return fmt.Sprintf("{ peer = %s, client = %s }", s.peers, s.clients) }

// given returns the authorities with their keys.
func (s *signers) given(t *testing.T) string {
	t.Helper()
	pair := func(of *pki.Authority) string {
		key, err := of.PrivateKeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("{ certificate = %q, private_key = %q }", of.CertificatePEM(), key)
	}
	return fmt.Sprintf("{ peer = %s, client = %s }", pair(s.Peers), pair(s.Clients))
}

// takenFrom is a cluster of three members with this pki.
func takenFrom(pki, more string) string {
	return strings.Replace(three(more), "etcd_pki.prod.authority", pki, 1)
}

// TestRemoteSigner forms and changes a cluster whose authorities' keys a server has. While the server is away, nothing
// of the cluster is changed, and a plan asks no server. Moving the key is no change of the cluster.
func TestRemoteSigner(t *testing.T) {
	w, s := newWorld(t), newSigners(t)
	named := line + "\nextra_server_names = [\"etcd.example.com\"]"
	w.run(t,
		tftest.TestStep{Config: takenFrom(s.both(), line), Check: w.allWell},
		tftest.TestStep{Config: takenFrom(s.given(t), line), PlanOnly: true},
		tftest.TestStep{
			PreConfig: func() { s.away.Store(true) }, Config: takenFrom(s.both(), named),
			ExpectError: saysApply("ask the cfssl server at https://127.0.0.1:", "501 Not Implemented, and not as cfssl does"),
		},
		tftest.TestStep{PreConfig: func() { s.away.Store(false); s.calls.Store(0) }, Config: takenFrom(s.both(), named), Check: w.allWell,
			ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{s}}},
	)
}

// CheckPlan checks that a plan has asked no signer.
func (s *signers) CheckPlan(_ context.Context, _ plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	if calls := s.calls.Load(); calls > 0 {
		resp.Error = fmt.Errorf("a plan has made %d calls to signers", calls)
	}
}

// TestRemoteSignerIsAwayFirst holds that a run which has certificates signed tries its signers before it takes a member
// out of service, so that no cluster stops, or lacks a voter, because a signer is away.
func TestRemoteSignerIsAwayFirst(t *testing.T) {
	p, steps := saved(t)
	signers := newSigners(t)
	taken := func(config string) string {
		return strings.Replace(config, "etcd_pki.prod.authority", signers.both(), 1)
	}
	steps[0].Config = taken(steps[0].Config)
	fails := func(who *atomic.Bool, config string) []tftest.TestStep {
		return []tftest.TestStep{
			{
				PreConfig: func() { who.Store(true); p.Forget(); p.steps() }, Config: taken(config),
				ExpectError: saysApply("No host was touched", "ask the cfssl server at https://127.0.0.1:", "501 Not Implemented"),
			},
			{
				PreConfig: func() {
					if err := p.untouched(nil); err != nil {
						t.Error(err)
					}
					who.Store(false)
				},
				Config: taken(three(unprotected)), Check: p.allWell,
			},
		}
	}
	steps = append(steps, fails(&signers.away, rebuilt(three(unprotected), "b=1"))...)
	steps = append(steps, fails(&signers.closed, of("a b c@21", unprotected))...)
	steps = append(steps, fails(&signers.closed, p.restoring("a b c", ""))...)
	steps = append(steps, tftest.TestStep{ // a repair does not wait for the signer
		PreConfig: func() { p.Host("192.0.2.13").StopUnit("prod"); signers.away.Store(true); p.steps() },
		Config:    taken(of("a b c d e", unprotected)), ExpectError: saysApply("The run stops before"),
	}, tftest.TestStep{
		PreConfig: func() {
			if steps := p.steps(); len(steps) == 0 || !strings.HasPrefix(steps[0], "start c (192.0.2.13)") {
				t.Errorf("a repair was not done: %q", steps)
			}
			signers.away.Store(false)
		},
		Config: taken(three(unprotected)), Check: p.allWell,
	})
	steps = append(steps, tftest.TestStep{Config: taken(p.restoring("a b c", "")), Check: tftest.ComposeAggregateTestCheckFunc(p.hasMoved, p.allWell)})
	p.run(t, steps...)
}

// TestRemoteSignerOfClients holds that a server signs clients' certificates too, lasting and ephemeral ones.
func TestRemoteSignerOfClients(t *testing.T) {
	w, s := newWorld(t), newSigners(t)
	file := filepath.Join(t.TempDir(), "client.key")
	pki := fmt.Sprintf("{ client = %s }", s.clients)
	w.run(t,
		tftest.TestStep{
			Config: strings.Replace(strings.Replace(keyFile(file), "etcd_pki.prod.client_authority", pki, 1), "etcd_pki.prod.authority", pki, 1),
			Check:  verified(file),
		},
		tftest.TestStep{
			Config: fmt.Sprintf(`
				ephemeral "etcd_certificate" "app" {
					pki         = %s
					common_name = "app"
					validity    = "8760h" // as the server's profile says
				}
				provider "echo" { data = ephemeral.etcd_certificate.app }
				resource "echo" "seen" {}`, pki),
			Check: tftest.TestCheckResourceAttr("echo.seen", "data.ca_certificate", string(s.Clients.CertificatePEM())),
		},
	)
}

// TestRemoteSignerIsChecked holds that the validation refuses a server that cannot be asked, and names the attribute
// and no secret.
func TestRemoteSignerIsChecked(t *testing.T) {
	s := newSigners(t)
	key, err := s.Peers.PrivateKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	peers := func(old, new string) string {
		if !strings.Contains(s.peers, old) {
			t.Fatalf("there is no %s", old)
		}
		return takenFrom(fmt.Sprintf("{ peer = %s, client = %s }", strings.Replace(s.peers, old, new, 1), s.clients), line)
	}
	var steps []tftest.TestStep
	for _, c := range []struct{ old, new, says string }{
		{`"https://`, `"http://`, "remote.url: "},
		{remotetest.Key, "hunter2", "remote.auth_key: it must be hexadecimal"},
		{fmt.Sprintf("auth_key = %q, ca_certificate = \"", remotetest.Key), "auth_key = \"0011\", ca_certificate = \"hunter2", "remote.ca_certificate: "},
		{`"-----BEGIN CERTIFICATE-----\nMIID`, `"hunter2`, "remote.ca_certificate: "},
		{"remote = {", `remote = { profiles = { members = "x" }, `, "keys must be client, peer, server"},
		{"remote = {", fmt.Sprintf("private_key = %q, remote = {", key), "it has a private_key and a remote"},
	} {
		steps = append(steps, tftest.TestStep{Config: peers(c.old, c.new), PlanOnly: true, ExpectError: says(c.says)})
	}
	newWorld(t).run(t, steps...)
}
