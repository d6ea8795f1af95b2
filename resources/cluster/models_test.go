package cluster

import (
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/restore"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/modeltest"
)

// TestClusterPrintsNoSecrets of its authorities, of its backup, and of what it is restored from.
func TestClusterPrintsNoSecrets(t *testing.T) {
	modeltest.PrintsNoSecrets(t, New()(), &clusterModel{}, 5, map[string]any{"pki": &authority.Model{}, "backup": &backups.Model{}, "restore": &restore.Model{}})
}
