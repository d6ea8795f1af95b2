package cluster

import (
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// TestDueIsLeft: without keys, a certificate that is due stays as it is, also where its member is given another list of revoked ones,
// and one that does not hold is still renewed.
func TestDueIsLeft(t *testing.T) {
	for invalid, left := range map[string]bool{"": true, membership.OldRevocations + "its list is missing": true, "its peer certificate has expired": false} {
		ch := change{began: membership.ClusterStatus{Members: []membership.MemberStatus{{Member: membership.Member{Name: "a"}, Desired: true, Due: "soon", Invalid: invalid}}}}
		ch.leaveDue()
		if s := ch.began.Members[0]; (s.Due == "") != left || (ch.unsigned["a"] == "soon") != left || s.Invalid != invalid {
			t.Errorf("%q: left %t: %+v, %v", invalid, !left, s, ch.unsigned)
		}
	}
}
