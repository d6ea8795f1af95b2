package host

import "github.com/etcd-on-hosts/terraform-provider-etcd/node/api"

// refuse returns the error of a call that a safety rule forbids. When it is returned, nothing has been changed.
func refuse(format string, args ...any) error {
	return api.Refuse(format, args...)
}
