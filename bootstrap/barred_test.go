package bootstrap_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestBarredHosts says of hosts that could not be asked why, and names what lets the run in where they answer.
func TestBarredHosts(t *testing.T) {
	m := membership.Member{Name: "a", Address: "192.0.2.11"}
	c := bootstrap.Cluster{Spec: membership.Spec{Name: "main", Members: []membership.Member{m}}}
	texts := map[string]bool{}
	for _, test := range []struct {
		err    error
		answer bool
	}{
		{errors.New("no route to host"), false},
		{&api.Barred{Barrier: api.BarrierLogin, Err: errors.New("login refused")}, true},
		{fmt.Errorf("look: %w", &api.Barred{Barrier: api.BarrierHostKey, Err: errors.New("host key mismatch")}), true},
		{&api.Barred{Barrier: api.BarrierBastion, Err: errors.New("bastion")}, true},
		{&api.Barred{Barrier: api.BarrierProgram, Err: errors.New("sudo refused")}, true},
	} {
		reports := bootstrap.Reports{m: {Err: test.err}}
		s := *c.Status("owner", reports, time.Time{}).Member(m)
		if s.State != membership.Unreachable || (s.Barred != "") != test.answer || texts[s.Why] {
			t.Errorf("%v: %s, %q, to let the run in: %q", test.err, s.State, s.Why, s.Barred)
		}
		texts[s.Why] = true
		restoring := c.Restoring("owner", false, reports, time.Time{}).Members[0]
		if restoring.Unasked != s.Why || restoring.Barred != s.Barred {
			t.Errorf("%v: a restore says %q, %q", test.err, restoring.Unasked, restoring.Barred)
		}
	}
}
