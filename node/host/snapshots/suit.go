package snapshots

import (
	"fmt"
	"runtime/debug"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// MustSuit refuses a snapshot that etcd of a minor version does not start from: etcd reads its own and those of older minor versions.
func MustSuit(what string, s api.Snapshot, minor string) error {
	if s.Version == "" {
		return nil // of a cluster that had agreed on none
	}
	if !api.IsVersion(s.Version) {
		return api.Refuse("%s says that it is of etcd %q, which is no version", what, s.Version)
	}
	if asked := api.Minor(s.Version); api.CompareVersions(api.Minor(minor), asked) < 0 {
		return api.Refuse("%s is of etcd %s, and is to be started by etcd %s: an older etcd never starts from the snapshot of a newer one; restore it with %s, and downgrade the cluster then", what, asked, minor, asked)
	}
	return nil
}

// Restore has etcd's own code restore a snapshot that was verified, page by page: etcd compares its sum alone. It panics
// over some of what it does not like.
func Restore(c snapshot.RestoreConfig) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("etcd does not restore it: %v", r)
		}
	}()
	return snapshot.NewV3(zap.NewNop()).Restore(c)
}
