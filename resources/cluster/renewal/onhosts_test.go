package renewal

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// TestWatch warns of hosts that could not renew, and of those that do not try though a certificate is due.
func TestWatch(t *testing.T) {
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	authority, err := pki.NewAuthority("main", pki.ECDSAP256, pki.DefaultAuthorityLifetime, now.AddDate(-2, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	held := func(left time.Duration) map[string]api.Certificate {
		leaf, err := authority.NewLeaf(t.Context(), pki.Request{Profile: pki.Client, CommonName: "a"}, pki.ECDSAP256, now.Add(left-pki.DefaultLeafLifetime))
		if err != nil {
			t.Fatal(err)
		}
		return map[string]api.Certificate{api.KeyPeer: {PEM: string(leaf.CertificatePEM())}, "peer-ca": {PEM: string(authority.CertificatePEM())}}
	}
	const day = 24 * time.Hour
	ran := func(ago time.Duration, failed string) *api.RenewalRun {
		return &api.RenewalRun{Ended: now.Add(-ago), Error: failed}
	}
	for name, c := range map[string]struct {
		renews bool
		left   time.Duration
		last   *api.RenewalRun
		want   string
	}{
		"young":                          {true, 200 * day, nil, ""},
		"young, and looked at":           {true, 200 * day, ran(30*day, ""), ""},
		"failed":                         {true, 200 * day, ran(day, "closed for today"), "Hosts of cluster prod could not renew certificates"},
		"due, and never looked at":       {true, 100 * day, nil, "Hosts of cluster prod do not renew certificates that are due"},
		"due, and looked at today":       {true, 100 * day, ran(day, ""), ""},
		"due, and looked at a week ago":  {true, 100 * day, ran(7*day, ""), "Hosts of cluster prod do not renew certificates that are due"},
		"over, and looked at a week ago": {true, -day, ran(7*day, ""), "Hosts of cluster prod do not renew certificates that are due"},
		"due, and renewed by applies":    {false, 100 * day, nil, ""},
	} {
		o := &api.Observation{Certificates: held(c.left)}
		if c.renews {
			o.Renewal = &api.RenewalStatus{Last: c.last}
		}
		reports := bootstrap.Reports{membership.Member{Name: "b", Address: "192.0.2.12"}: {Observation: o}, membership.Member{Name: "c"}: {}}
		diags := Watch(types.ObjectNull(Type().AttrTypes), "prod", reports, now)
		if (len(diags) > 0) != (c.want != "") || len(diags) > 0 && (diags[0].Summary() != c.want || !strings.Contains(diags[0].Detail(), "b (192.0.2.12)")) {
			t.Errorf("%s: warns %v, want %q", name, diags, c.want)
		}
		if c.last != nil && c.last.Error != "" && !strings.Contains(diags[0].Detail(), c.last.Error) {
			t.Errorf("%s: it does not say why: %v", name, diags)
		}
	}
}

// TestCheckOnHosts: certificates are due on hosts for long enough that their timer looks twice, or refused.
func TestCheckOnHosts(t *testing.T) {
	for name, c := range map[string]struct {
		by      api.Renewal
		refused bool
	}{
		"by default":             {api.Renewal{}, false},
		"a day":                  {api.Renewal{Validity: 24 * time.Hour}, false},
		"as short as said":       {api.Renewal{Validity: 8 * time.Hour}, false},
		"too short":              {api.Renewal{Validity: 7 * time.Hour}, true},
		"short, due early":       {api.Renewal{Validity: 6 * time.Hour, Before: 3 * time.Hour}, false},
		"a day, due late":        {api.Renewal{Validity: 24 * time.Hour, Before: 30 * time.Minute}, true},
		"ten minutes":            {api.Renewal{Validity: 10 * time.Minute}, true},
		"a year, due at the end": {api.Renewal{Before: time.Minute}, false},
	} {
		diags := CheckOnHosts(&c.by)
		if diags.HasError() != c.refused {
			t.Errorf("%s: %v", name, diags)
		}
		if c.refused && !strings.Contains(diags[0].Detail(), "A host looks once an hour, up to 50 minutes late, so that needs 3h0m0s") {
			t.Errorf("%s: it says %q", name, diags[0].Detail())
		}
	}
}
