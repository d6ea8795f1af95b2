package bootstrap_test

import (
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestStatusOfWhatIsServed: a member that serves another certificate than its file has is restarted, and no release of the provider is
// why, so that nothing holds it back, whatever a release asks for besides.
func TestStatusOfWhatIsServed(t *testing.T) {
	c := three()
	b := c.Members[1]
	for name, unit := range map[string]string{"alone": "", "with another unit": "# ours\n"} {
		reports := alive(t, c)
		o := reports[b].Observation
		o.Unit.Text += unit
		if s := c.Status(ours.Owner, reports, now).Member(b); s.State != membership.Healthy || s.Unasked != (unit != "") {
			t.Fatalf("%s: before it serves another: %+v", name, s)
		}
		o.Served = map[string]api.Served{api.KeyServer: {Serial: "0a", SHA256: "another"}}
		if s := c.Status(ours.Owner, reports, now).Member(b); s.Unasked || !strings.Contains(strings.Join(s.Outdated, ", "), "it serves the certificate with serial 0a at its client port") {
			t.Errorf("%s: unasked %t, %q", name, s.Unasked, s.Outdated)
		}
	}
}
