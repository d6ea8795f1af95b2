package snapshots

import (
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/modeltest"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/s3"
)

// TestSnapshotPrintsNoSecrets of the storage that it goes to.
func TestSnapshotPrintsNoSecrets(t *testing.T) {
	modeltest.PrintsNoSecrets(t, New(), &snapshotModel{}, 1, map[string]any{"s3": &s3.Object{}})
}
