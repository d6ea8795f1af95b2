package bootstrap_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// TestStatusOfRevocations holds that a member whose own certificate is to be revoked gets another one first, and the
// list with it, and what is said of a list that is not the desired one.
func TestStatusOfRevocations(t *testing.T) {
	revoker, err := pki.NewAuthority("clients", pki.DefaultAlgorithm, pki.MinimumLifetime, now)
	if err != nil {
		t.Fatal(err)
	}
	listOf := func(number int64, serials ...*big.Int) string {
		list, err := revoker.Revoke(serials, number)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	c := three()
	b := c.Members[1]
	flagless := alive(t, c)
	c.ClientCRL = listOf(2, big.NewInt(7))
	reports := alive(t, c)
	serialOf := func(key string) *big.Int {
		leaf, err := cert.ParseLeaf([]byte(reports[b].Observation.Certificates[key].PEM))
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber
	}
	for name, test := range map[string]struct {
		has, desired string
		reports      bootstrap.Reports
		says         string
	}{
		"as it is to be":      {c.ClientCRL, c.ClientCRL, reports, ""},
		"in another spelling": {c.ClientCRL, "# ours\n" + c.ClientCRL, reports, ""},
		// etcd reads serial numbers alone.
		"of another number":       {listOf(1, big.NewInt(7)), c.ClientCRL, reports, ""},
		"missing":                 {"", c.ClientCRL, reports, "client_crl: its list of revoked certificates is missing, or cannot be read, so that it lets no client in (number 2, 1)"},
		"an earlier one":          {listOf(1), c.ClientCRL, reports, "client_crl: its list of revoked certificates (number 1, 0) is not the desired one (number 2, 1)"},
		"not looked at yet":       {"", c.ClientCRL, flagless, ""}, // it comes with the flag
		"the member's own server": {c.ClientCRL, listOf(3, big.NewInt(7), serialOf(api.KeyServer)), reports, "client_crl revokes its server certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			test.reports[b].Observation.ClientCRL = test.has
			c := c
			c.ClientCRL = test.desired
			s := c.Status(ours.Owner, test.reports, now).Member(b)
			if got := s.Invalid; (got == "") != (test.says == "") || !strings.Contains(got, test.says) {
				t.Errorf("got  %s\nwant %s", got, test.says)
			}
			if s.NoClients != (name == "missing") {
				t.Errorf("it lets no client in: %t", s.NoClients)
			}
		})
	}
}
