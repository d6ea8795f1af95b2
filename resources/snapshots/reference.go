package snapshots

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

// clusterReference names a cluster and says how to reach its hosts.
type clusterReference struct {
	Name    types.String `tfsdk:"name"`
	Owner   types.String `tfsdk:"owner"`
	Members types.Map    `tfsdk:"members"`
}

// memberReference says how to reach one member's host.
type memberReference struct {
	Address    types.String `tfsdk:"address"`
	HostKey    types.String `tfsdk:"host_key"`
	HostCA     types.String `tfsdk:"host_ca"`
	SSHAddress types.String `tfsdk:"ssh_address"`
	SSHPort    types.Int64  `tfsdk:"ssh_port"`
	SSHUser    types.String `tfsdk:"ssh_user"`
}

// routes returns the routes to all hosts of the cluster.
func (c clusterReference) routes(ctx context.Context) (providerdata.Routes, diag.Diagnostics) {
	var members map[string]memberReference
	diags := c.Members.ElementsAs(ctx, &members, false)
	to := providerdata.Routes{}
	for name, m := range members {
		if m.Address.IsNull() {
			continue
		}
		to[membership.Member{Name: name, Address: m.Address.ValueString()}] = providerdata.SSHTargetOf(m.Address, m.SSHAddress, m.SSHPort, m.SSHUser, m.HostKey, m.HostCA)
	}
	return to, diags
}

// executor returns an executor that reads from the cluster's hosts. It goes on with those that answer.
func (c clusterReference) executor(ctx context.Context, s *providerdata.Data, to providerdata.Routes) (*upgrade.Executor, error) {
	hosts := map[membership.Member]upgrade.Host{}
	for m, target := range to {
		host, err := s.Hosts.Briefly(target)
		if err != nil {
			return nil, err
		}
		hosts[m] = host
	}
	run, err := providerdata.NewToken(s.Random)
	if err != nil {
		return nil, err
	}
	name := c.Name.ValueString()
	return &upgrade.Executor{
		Cluster:  bootstrap.Cluster{Spec: membership.Spec{Name: name}},
		Hosts:    hosts,
		Holder:   api.Holder{ID: run, Who: s.Operator}, // of no lock: what hosts send to this run has its ID
		Now:      s.Now,
		Progress: s.ProgressOf(ctx, name),
	}, nil
}
