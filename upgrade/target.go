package upgrade

import (
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// target is whom calls to a member's host mean: the machine and the member that were seen there. The host compares it
// with what it is.
func (w *work) target(m membership.Member) *api.Target {
	w.mu.Lock()
	defer w.mu.Unlock()
	report := w.reports[m]
	t := &api.Target{MachineID: report.Machine(), For: m.Name, Seen: !w.touched[m]}
	if marker := report.Marker(); marker != nil {
		t.Member, t.MemberID = marker.Member, marker.MemberID
	}
	return t
}

// touch notes that a call of this run has changed a host since it was looked at: what it carries may be another by now.
func (w *work) touch(m membership.Member) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touched[m] = true
}
