package cluster

import (
	"context"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/restore"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/modeltest"
)

// TestClusterPrintsNoSecrets of its authorities, of its backup, and of what it is restored from.
func TestClusterPrintsNoSecrets(t *testing.T) {
	pki := modeltest.Read(func(ctx context.Context, object types.Object) (any, diag.Diagnostics) {
		return authority.From(ctx, object)
	})
	modeltest.PrintsNoSecrets(t, New()(), &clusterModel{}, 9, map[string]any{"pki": pki, "backup": &backups.Model{}, "restore": &restore.Model{}})
}
