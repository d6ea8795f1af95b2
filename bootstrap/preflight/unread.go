package preflight

import "github.com/etcd-on-hosts/terraform-provider-etcd/node/api"

// Unread returns what speaks against a host that nobody could look at: why not, and the barrier that keeps the provider
// out of a host that answers, if that is it.
func Unread(why string, barrier api.Barrier) Finding {
	if barrier == "" {
		return Finding{"unreachable", Error, why, "see whether the machine runs, and whether its sshd can be reached from this one"}
	}
	return Finding{"barred", Error, why, barrier.Remedy()}
}
