package authority

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// made are the authorities of a cluster.
func made(t *testing.T, name string, lifetime time.Duration, now time.Time) Model {
	t.Helper()
	authorities, err := pki.NewAuthorities(name, pki.DefaultAlgorithm, lifetime, now)
	if err != nil {
		t.Fatal(err)
	}
	both, err := Of(authorities)
	if err != nil {
		t.Fatal(err)
	}
	return Model{Peer: both.Peer, Client: both.Client}
}

// say fails unless the diagnostics say a text; empty: unless there are none.
func say(t *testing.T, diags diag.Diagnostics, text string) {
	t.Helper()
	var said []string
	for _, d := range diags {
		said = append(said, d.Summary()+": "+d.Detail())
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, text) || (text == "") != (all == "") {
		t.Errorf("it says %q, want %q", all, text)
	}
}

// TestCheck: what could never sign is refused as soon as it is known, and what is not known yet is not.
func TestCheck(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	prod, other := made(t, "prod", time.Hour, now), made(t, "other", time.Hour, now)
	unknown := KeyPair{Certificate: types.StringUnknown(), PrivateKey: sensitive.Unknown()}
	text := func(certificate, key string) KeyPair {
		return KeyPair{Certificate: types.StringValue(certificate), PrivateKey: sensitive.Of(key)}
	}
	certificateOf := func(k KeyPair) string { return k.Certificate.ValueString() }
	for name, c := range map[string]struct {
		of   Model
		says string
	}{
		"sound":                        {prod, ""},
		"long over":                    {made(t, "old", time.Hour, now.AddDate(-20, 0, 0)), ""}, // no clock is read
		"nothing known":                {Model{Peer: unknown, Client: unknown}, ""},
		"one known, and wrong":         {Model{Peer: unknown, Client: text("nonsense", "nonsense")}, "pki.client: read the authority's certificate"},
		"another one's key":            {Model{Peer: KeyPair{Certificate: prod.Peer.Certificate, PrivateKey: other.Peer.PrivateKey}, Client: prod.Client}, "pki.peer: the authority"},
		"no key":                       {Model{Peer: text(certificateOf(prod.Peer), "nonsense"), Client: prod.Client}, "it must be PEM"},
		"both wrong":                   {Model{Peer: text("nonsense", ""), Client: text("nonsense", "")}, "pki.client: read the authority's certificate"},
		"a chain":                      {Model{Peer: text(certificateOf(prod.Peer)+certificateOf(other.Peer), prod.Peer.PrivateKey.Reveal()), Client: prod.Client}, "nothing stands above it"},
		"one key for both":             {Model{Peer: prod.Peer, Client: prod.Peer}, "have the same key"},
		"trusted without a key":        {Model{Peer: prod.Peer, Client: prod.Client, Trusted: &Trusted{Peer: &KeyPair{Certificate: other.Peer.Certificate}}}, ""},
		"trusted by another's key":     {Model{Peer: prod.Peer, Client: prod.Client, Trusted: &Trusted{Peer: &KeyPair{Certificate: other.Peer.Certificate, PrivateKey: prod.Peer.PrivateKey}}}, "A trusted authority cannot be used"},
		"trusted that is not known":    {Model{Peer: prod.Peer, Client: prod.Client, Trusted: &Trusted{Peer: &unknown}}, ""},
		"trusted that is no authority": {Model{Peer: prod.Peer, Client: prod.Client, Trusted: &Trusted{Client: &KeyPair{Certificate: types.StringValue("nonsense")}}}, "A trusted authority cannot be used"},
	} {
		t.Run(name, func(t *testing.T) { say(t, c.of.Check(), c.says) })
	}
}

// TestAuthoritiesWait: an authority signs for no cluster before it begins to hold, nor after it has ended, and may be
// trusted before. One that the cluster has already is not refused for its age.
func TestAuthoritiesWait(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	prod := made(t, "prod", time.Hour, now)
	next := made(t, "next", time.Hour, now.Add(24*time.Hour))
	over := made(t, "over", time.Hour, now.AddDate(-1, 0, 0))
	peers, clients := prod.Bundles()
	begun := next
	begun.Trusted = &Trusted{Peer: &prod.Peer, Client: &prod.Client}
	ahead := prod
	ahead.Trusted = &Trusted{Peer: &next.Peer, Client: &next.Client}
	for name, c := range map[string]struct {
		of    Model
		after time.Duration
		says  string
	}{
		"its own":                  {prod, 0, ""},
		"its own, ended":           {prod, 48 * time.Hour, ""},
		"trusted ahead":            {ahead, 0, ""},
		"the next too early":       {next, 0, `The authority "etcd next peers" (pki.peer) is valid from 2026-03-01T23:55:00Z`},
		"the next, beside the old": {begun, 0, "The authority is not valid yet"},
		"the next in time":         {next, 24 * time.Hour, ""},
		"one that has ended":       {over, 0, `The authority "etcd over clients" (pki.client) expired at 2025-03-01T01:00:00Z`},
		"not known":                {Model{Peer: KeyPair{Certificate: types.StringUnknown()}, Client: prod.Client}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			say(t, c.of.Wait(now.Add(c.after), peers.ValueString(), clients.ValueString()), c.says)
		})
	}
	say(t, prod.MaySign(now), "")
	say(t, prod.MaySign(now.Add(48*time.Hour)), "The authority has expired")
	say(t, begun.MaySign(now), "The authority is not valid yet")
	say(t, ahead.MaySign(now.Add(24*time.Hour+30*time.Minute)), "") // the next one signs in its place
	say(t, ahead.MaySign(now.Add(12*time.Hour)), "The authority has expired")
	keyless := prod
	keyless.Trusted = &Trusted{Peer: &KeyPair{Certificate: next.Peer.Certificate}, Client: &next.Client}
	say(t, keyless.MaySign(now.Add(24*time.Hour+30*time.Minute)), `The authority "etcd prod peers" (pki.peer) expired at`)
	for after, want := range map[time.Duration]string{0: "etcd prod peers", 24*time.Hour + 30*time.Minute: "etcd next peers"} {
		signer, err := ahead.Signer(func() time.Time { return now.Add(after) }, 0)
		if err != nil {
			t.Fatal(err)
		}
		authority, _, err := signer.order("", api.KeyRequest{Name: api.KeyPeer, CommonName: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if leaf, err := cert.ParseLeaf(authority.CertificatePEM()); err != nil || leaf.Subject.CommonName != want {
			t.Errorf("after %s %s signs, want %s", after, leaf.Subject.CommonName, want)
		}
	}
	if diags := next.Wait(now, "", ""); len(diags) != 2 {
		t.Errorf("for a new cluster it says %v", diags)
	}
}

// TestBundlesHoldEachAuthorityOnce: an authority that is trusted beside itself, in whichever wording, is in the bundle
// once.
func TestBundlesHoldEachAuthorityOnce(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	prod, next := made(t, "prod", time.Hour, now), made(t, "next", time.Hour, now)
	one, other := prod.Client.Certificate.ValueString(), next.Client.Certificate.ValueString()
	for name, test := range map[string]struct{ trusted, want string }{
		"another":           {other, one + other},
		"itself":            {one, one},
		"DOS file's lines":  {strings.ReplaceAll(one, "\n", "\r\n"), one},
		"words before it":   {"Certificate:\n    Data:\n" + one, one},
		"no end of line":    {strings.TrimSpace(one), one},
		"what is not known": {"", ""},
	} {
		trusted := types.StringValue(test.trusted)
		if test.trusted == "" {
			trusted = types.StringUnknown()
		}
		both := prod
		both.Trusted = &Trusted{Client: &KeyPair{Certificate: trusted}}
		_, ofCluster := both.Bundles()
		for _, bundle := range []types.String{ofCluster, both.ForClients().Bundle()} {
			if bundle.ValueString() != test.want || bundle.IsUnknown() != (test.want == "") {
				t.Errorf("%s: the bundle is %s, want %q", name, bundle, test.want)
			}
		}
	}
}
