package upgrade

import (
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// target is whom calls to a member's host mean: the machine and the member that were seen there. The host compares it
// with what it is.
func (r *run) target(m membership.Member) *api.Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.reports[m]
	t := &api.Target{MachineID: report.Machine(), For: m.Name, Seen: !r.touched[m]}
	if marker := report.Marker(); marker != nil {
		t.Member, t.MemberID = marker.Member, marker.MemberID
	}
	return t
}

// touch notes that a call of this run has changed a host since it was looked at: what it carries may be another by now.
func (r *run) touch(m membership.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touched[m] = true
}
