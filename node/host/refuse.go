package host

import "github.com/etcd-on-hosts/terraform-provider-etcd/node/api"

// refuse is the error of a call that a safety rule forbids. Nothing has been changed when it is
// returned.
func refuse(format string, args ...any) error {
	return api.Refuse(format, args...)
}
