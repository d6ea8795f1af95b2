package bootstrap_test

import (
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestStatusOfWhatIsServed: a status says where a member serves another certificate than its file has.
func TestStatusOfWhatIsServed(t *testing.T) {
	c := three()
	b := c.Members[1]
	reports := alive(t, c)
	o := reports[b].Observation
	if s := c.Status(ours.Owner, reports, now).Member(b); s.State != membership.Healthy || s.Serves != (membership.Served{}) {
		t.Fatalf("before it serves another: %+v", s)
	}
	o.Served = map[string]api.Served{api.KeyServer: {Serial: "0a", SHA256: "another"}}
	if s := c.Status(ours.Owner, reports, now).Member(b); !strings.Contains(s.Serves.Clients, "it serves the certificate with serial 0a at its client port") || s.Serves.Peers != "" {
		t.Errorf("%q", s.Serves)
	}
}
