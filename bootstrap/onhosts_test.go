package bootstrap

import (
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// TestUnrenewed says what a host is told of the renewals that it makes by itself, and when nothing.
func TestUnrenewed(t *testing.T) {
	a := membership.Member{Name: "a", Address: "192.0.2.11"}
	renewal := &api.Renewal{Digest: "1", Peers: &api.SigningPlace{URL: "https://192.0.2.8:8888", Key: secret.New("00")}}
	c := Cluster{Spec: membership.Spec{Name: "prod"}, PeerPort: 2380, StoresOf: map[string]map[string]string{"3.7.3": {"amd64": "ours"}}}
	units := c.RenewedOnHosts(renewal, true).renewalUnits(a)
	right := api.RenewalStatus{Digest: "1", Units: units, Enabled: true}
	with := func(edit func(*api.RenewalStatus)) *api.RenewalStatus {
		status := right
		edit(&status)
		return &status
	}
	for name, test := range map[string]struct {
		desired *api.Renewal
		known   bool
		has     *api.RenewalStatus
		store   string
		says    string
	}{
		"none":                {nil, true, nil, "ours", ""},
		"right":               {renewal, true, &right, "ours", ""},
		"not yet":             {renewal, true, nil, "ours", "it does not renew certificates by itself yet"},
		"not any more":        {nil, true, &right, "ours", "it renews certificates by itself, which the configuration does not ask for"},
		"not known":           {nil, false, &right, "ours", ""},
		"not known, and none": {nil, false, nil, "ours", ""},
		"other settings":      {renewal, true, with(func(s *api.RenewalStatus) { s.Digest = "2" }), "ours", "it renews certificates by other settings"},
		"a damaged file":      {renewal, true, with(func(s *api.RenewalStatus) { s.Digest = "" }), "ours", "it renews certificates by other settings"},
		"switched off":        {renewal, true, with(func(s *api.RenewalStatus) { s.Enabled = false }), "ours", "its renewals are switched off: their timer does not run"},
		"other units":         {renewal, true, with(func(s *api.RenewalStatus) { s.Units = "2" }), "ours", "the units of its renewals are not as this version of the provider writes them"},
		"units of a store that this provider does not carry": {renewal, true, with(func(s *api.RenewalStatus) { s.Units = "2" }), "theirs", ""},
	} {
		got := c.RenewedOnHosts(test.desired, test.known).Unrenewed(a, &api.Observation{Renewal: test.has, Store: api.Store{Selected: test.store}})
		if got != test.says {
			t.Errorf("%s: it says %q, want %q", name, got, test.says)
		}
	}
	moved := membership.Member{Name: "a", Address: "192.0.2.21"}
	if c.RenewedOnHosts(renewal, true).renewalUnits(moved) == units {
		t.Error("the unit of a member at another address reaches the one before")
	}
	named := *renewal
	named.Peers = &api.SigningPlace{URL: "https://signer.example.com"}
	if c.RenewedOnHosts(&named, true).renewalUnits(moved) != c.RenewedOnHosts(&named, true).renewalUnits(a) {
		t.Error("units are limited to addresses though the server has a name")
	}
}

// TestDescribedRenewals: steps tell every change of settings but those of keys, which may differ between a plan and its apply, and no
// key.
func TestDescribedRenewals(t *testing.T) {
	place := func(edit func(*api.SigningPlace)) *api.SigningPlace {
		p := &api.SigningPlace{Authority: "a", URL: "https://192.0.2.8:8888", Key: secret.New("swordfish"), Label: "peers"}
		edit(p)
		return p
	}
	same := func(*api.SigningPlace) {}
	first := describeRenewal(&api.Renewal{Digest: "1", Peers: place(same), Clients: place(same)})
	if !strings.HasPrefix(first, "peers' by https://192.0.2.8:8888, servers' and the administrator's by https://192.0.2.8:8888 (settings ") {
		t.Errorf("it says %q", first)
	}
	if other := describeRenewal(&api.Renewal{Digest: "2", Peers: place(func(p *api.SigningPlace) { p.Key = secret.New("hunter2") }), Clients: place(same)}); other != first {
		t.Errorf("another key is %q, and was %q", other, first)
	}
	for name, r := range map[string]api.Renewal{
		"authority": {Peers: place(func(p *api.SigningPlace) { p.Authority = "b" }), Clients: place(same)},
		"label":     {Peers: place(same), Clients: place(func(p *api.SigningPlace) { p.Label = "" })},
		"validity":  {Peers: place(same), Clients: place(same), Validity: 1},
		"before":    {Peers: place(same), Clients: place(same), Before: 1},
		"one alone": {Peers: place(same)},
	} {
		if describeRenewal(&r) == first {
			t.Errorf("%s: another one is told by the same words", name)
		}
	}
}
