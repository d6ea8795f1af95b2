package upgrade_test

import (
	"context"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// witness is a signer that records for which member, and after how many steps, it was asked for peer certificates. Each
// member has one.
type witness struct {
	upgrade.Signer
	mu    sync.Mutex
	begun int
	asked []askedFor
}

type askedFor struct {
	begun     int
	addresses []string
}

func (w *witness) Sign(ctx context.Context, by string, want api.KeyRequest, csr string) (string, error) {
	if want.Name == api.KeyPeer {
		w.mu.Lock()
		w.asked = append(w.asked, askedFor{w.begun, want.IPs})
		w.mu.Unlock()
	}
	return w.Signer.Sign(ctx, by, want, csr)
}

// step notes that a step begins.
func (w *witness) step() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun++
}

// mustSignWhatItSays fails the test if a step has certificates signed and does not say so, or says so and has none
// signed. By what steps say, a plan is refused that lacks a key or meets a wrong clock.
func (w *witness) mustSignWhatItSays(t tb, done []membership.Step, whole bool) {
	t.Helper()
	signed := map[int]bool{}
	for _, r := range w.asked {
		by := -1
		for i, step := range done[:min(r.begun, len(done))] {
			isPutBack := step.Kind == membership.Readdress && slices.Contains(r.addresses, step.To)
			if slices.Contains(r.addresses, step.At) || isPutBack {
				by = i
			}
		}
		if signed[by] = true; by < 0 || !done[by].Signs() {
			t.Errorf("a certificate for %v was signed by a step that says it signs none:\n%s", r.addresses, texts(done))
		}
	}
	for i, step := range done {
		if whole && step.Signs() && !signed[i] {
			t.Errorf("%q says that it has certificates signed, and it had none signed", step)
		}
	}
}

// revoke has the cluster's members use a list of revoked certificates with this number.
func (l *life) revoke(number int64) {
	l.Helper()
	authority, err := pki.NewAuthority("clients", pki.DefaultAlgorithm, pki.MinimumLifetime, nodetest.Start)
	if err != nil {
		l.Fatalf("%v", err)
	}
	if l.cluster.ClientCRL, err = authority.Revoke([]*big.Int{big.NewInt(1<<40 + number)}, number); err != nil {
		l.Fatalf("%v", err)
	}
}

// TestRecoverySignsNothingThatItNeedNot recovers a member while clocks are wrong and no certificate may be signed: the
// member serves with its present certificates, and only steps that have to sign are refused.
func TestRecoverySignsNothingThatItNeedNot(t *testing.T) {
	for name, test := range map[string]struct {
		happen func(*life)
		signs  bool
	}{
		"as it is":                         {happen: func(*life) {}},
		"settings":                         {happen: func(l *life) { l.set("quota-backend-bytes", "8589934592") }},
		"another list":                     {happen: func(l *life) { l.revoke(2) }},
		"its list is gone":                 {happen: func(l *life) { l.host("a").LoseClientCRL(cluster) }},
		"its list is gone, and settings":   {happen: func(l *life) { l.host("a").LoseClientCRL(cluster); l.set("quota-backend-bytes", "8589934592") }},
		"authorities rotated":              {happen: func(l *life) { l.exchange(true) }},
		"authorities rotated and settings": {signs: true, happen: func(l *life) { l.exchange(true); l.set("quota-backend-bytes", "8589934592") }},
		"expired":                          {signs: true, happen: func(l *life) { l.host("a").ExpireCertificates(cluster, l.authority) }},
		"key gone":                         {signs: true, happen: func(l *life) { l.host("a").LoseKey(cluster, api.KeyPeer) }},
		"another port":                     {signs: true, happen: func(l *life) { l.cluster.PeerPort = 12380 }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := serving(t, 3, nodetest.EtcdVersion)
				l.revoke(1)
				l.mustConverge(1)
				test.happen(l)
				l.loseAllBut("a")
				l.host("a").StopUnit(cluster)
				shown := l.planned().Steps
				l.host("a").Skew = -20 * time.Minute
				outcome, err := l.change(t.Context(), shown)
				if err == nil || !strings.Contains(err.Error(), "no certificate is signed then") {
					t.Errorf("the recovery says %v", err)
				}
				recovers := func(step membership.Step) bool { return step.Kind == membership.Recover }
				if slices.ContainsFunc(outcome.Done, recovers) == test.signs || slices.ContainsFunc(outcome.Done, membership.Step.Signs) || test.signs && len(outcome.Done) > 0 {
					t.Fatalf("it has done this:\n%s", strings.Join(l.progress, "\n"))
				}
				l.host("a").Skew = 0
				if !test.signs {
					// The others join with certificates that are signed.
					l.cluster.Recover, shown = membership.Recovery{}, l.planned().Steps
				}
				if _, err := l.change(t.Context(), shown); err != nil {
					t.Fatalf("%v\n%s", err, strings.Join(l.progress, "\n"))
				}
				l.mustBeAsDesired()
			})
		})
	}
}
