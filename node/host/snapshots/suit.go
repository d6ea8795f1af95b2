package snapshots

import (
	"fmt"
	"runtime/debug"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// MustSuit refuses a snapshot from which etcd of this minor version does not start: etcd reads snapshots of its own and
// of older minor versions.
func MustSuit(what string, s api.Snapshot, minor string) error {
	if s.Version == "" {
		return nil // its cluster had agreed on no version yet
	}
	if !api.IsVersion(s.Version) {
		return api.Refuse("%s says that it is of etcd %q, which is no version", what, s.Version)
	}
	if asked := api.Minor(s.Version); api.CompareVersions(api.Minor(minor), asked) < 0 {
		return api.Refuse("%s is of etcd %s, and is to be started by etcd %s: an older etcd never starts from the snapshot of a newer one; restore it with %s, and downgrade the cluster then", what, asked, minor, asked)
	}
	return nil
}

// Restore has etcd's own code restore a snapshot that was verified page by page: etcd itself compares only the
// checksum, and panics at some damage.
func Restore(c snapshot.RestoreConfig) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("etcd does not restore it: %v", r)
		}
	}()
	return snapshot.NewV3(zap.NewNop()).Restore(c)
}
