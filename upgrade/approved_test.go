package upgrade

import (
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// TestStopOfACrashingMember has a member that crashes again and again be down when the plan is made, and run when the
// plan is carried out. Stopping the member is part of configuring it, and of no other step.
func TestStopOfACrashingMember(t *testing.T) {
	at := membership.Member{Name: "b", Address: "192.0.2.12"}
	stop := membership.Step{Kind: membership.Stop, Member: at.Name, At: at.Address, To: "it serves nobody, and is outdated: flags --no-such-flag"}
	for kind, approved := range map[membership.Kind]bool{membership.Configure: true, membership.Start: false, membership.RenewCertificates: false} {
		l := &changeRun{order: Order{Approved: []membership.Step{{Kind: kind, Member: at.Name, At: at.Address}}}}
		if l.approved(stop) != approved {
			t.Errorf("where the plan has shown %q, a stop is approved: %t", kind, !approved)
		}
		other := stop
		other.At = "192.0.2.13"
		if l.approved(other) {
			t.Errorf("where the plan has shown %q of another member, a stop is approved", kind)
		}
	}
}
