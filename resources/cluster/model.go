package cluster

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/firewall"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/health"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/renewal"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/settings"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

// clusterModel is etcd_cluster in Terraform's values.
type clusterModel struct {
	Name               types.String   `tfsdk:"name"`
	PKI                types.Object   `tfsdk:"pki"` // write-only: null but in a configuration
	Members            types.Map      `tfsdk:"members"`
	Version            types.String   `tfsdk:"version"`
	ClientPort         types.Int64    `tfsdk:"client_port"`
	PeerPort           types.Int64    `tfsdk:"peer_port"`
	MetricsPort        types.Int64    `tfsdk:"metrics_port"`
	DataDir            types.String   `tfsdk:"data_dir"`
	Settings           types.Object   `tfsdk:"settings"`
	ExtraFlags         types.Map      `tfsdk:"extra_flags"`
	ExtraServerNames   types.Set      `tfsdk:"extra_server_names"`
	Certificates       types.Object   `tfsdk:"certificates"`
	PeerCommonName     types.String   `tfsdk:"peer_common_name"`
	ClientCRL          types.String   `tfsdk:"client_crl"`
	Firewall           types.Object   `tfsdk:"firewall"`
	DeletionProtection types.Bool     `tfsdk:"deletion_protection"`
	PurgeData          types.Bool     `tfsdk:"purge_data"`
	AbandonOnDestroy   types.Set      `tfsdk:"abandon_on_destroy"`
	RecoverFrom        types.Object   `tfsdk:"recover_from"`
	Restore            types.Object   `tfsdk:"restore"`
	Backup             types.Object   `tfsdk:"backup"`
	PreflightAtPlan    types.Bool     `tfsdk:"preflight_at_plan"`
	Preflight          types.Object   `tfsdk:"preflight"`
	HoldRestarts       types.Bool     `tfsdk:"hold_restarts"`
	Timeouts           timeouts.Value `tfsdk:"timeouts"`

	EtcdVersion       types.String `tfsdk:"etcd_version"`
	ClusterID         types.String `tfsdk:"cluster_id"`
	Endpoints         types.List   `tfsdk:"endpoints"`
	CACertificate     types.String `tfsdk:"client_ca_certificate"`
	PeerCACertificate types.String `tfsdk:"peer_ca_certificate"`
	Status            types.String `tfsdk:"status"`
	Alarms            types.List   `tfsdk:"alarms"`
	Rollout           types.List   `tfsdk:"rollout"`
	LastRollout       types.List   `tfsdk:"last_rollout"`
	PlannedChange     types.String `tfsdk:"planned_change"`
	Owner             types.String `tfsdk:"owner"`
	BackupStatus      types.Object `tfsdk:"backup_status"`
}

// memberModel is one member of etcd_cluster.
type memberModel struct {
	Address    types.String `tfsdk:"address"`
	HostKey    types.String `tfsdk:"host_key"`
	HostCA     types.String `tfsdk:"host_ca"`
	SSHAddress types.String `tfsdk:"ssh_address"`
	SSHPort    types.Int64  `tfsdk:"ssh_port"`
	SSHUser    types.String `tfsdk:"ssh_user"`
	Zone       types.String `tfsdk:"zone"`
	Rebuild    types.String `tfsdk:"rebuild"`

	ID                   types.String `tfsdk:"id"`
	Health               types.String `tfsdk:"health"`
	Drift                types.List   `tfsdk:"drift"`
	EtcdVersion          types.String `tfsdk:"etcd_version"`
	CertificateExpiresAt types.String `tfsdk:"certificate_expires_at"`
	PeerURL              types.String `tfsdk:"peer_url"`
	ClientURL            types.String `tfsdk:"client_url"`
}

// memberType is the type of a member's object.
func memberType() types.ObjectType {
	kinds := map[string]attr.Type{}
	for name, attribute := range memberAttributes() {
		kinds[name] = attribute.GetType()
	}
	return types.ObjectType{AttrTypes: kinds}
}

// memberModels returns the members by name. It returns nil if the map, or a whole member, is unknown.
func (c clusterModel) memberModels(ctx context.Context) (map[string]memberModel, diag.Diagnostics) {
	if c.Members.IsUnknown() {
		return nil, nil
	}
	for _, member := range c.Members.Elements() {
		if member.IsUnknown() {
			return nil, nil
		}
	}
	var members map[string]memberModel
	diags := c.Members.ElementsAs(ctx, &members, false)
	return members, diags
}

// setMembers writes the members into the model.
func (c *clusterModel) setMembers(ctx context.Context, members map[string]memberModel) (diags diag.Diagnostics) {
	c.Members, diags = types.MapValueFrom(ctx, memberType(), members)
	return diags
}

// spec returns the desired members, sorted by name. It leaves unmanaged members out: they are observed, and never
// desired.
func (c clusterModel) spec(members map[string]memberModel) membership.Spec {
	spec := membership.Spec{Name: c.Name.ValueString(), Version: c.EtcdVersion.ValueString(), HoldRestarts: c.HoldRestarts.ValueBool()}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if m := members[name]; m.Health.ValueString() != health.Unmanaged {
			spec.Members = append(spec.Members, membership.Member{Name: name, Address: m.Address.ValueString()})
			setText(&spec.Built, name, m.Rebuild)
			setText(&spec.Zones, name, m.Zone)
			if to := m.sshTarget(); to.Address != m.Address.ValueString() || to.Port != 0 {
				if spec.SSHD == nil {
					spec.SSHD = map[string]membership.SSHD{}
				}
				spec.SSHD[name] = membership.SSHD{Host: to.Address, Port: to.Port}
			}
		}
	}
	return spec
}

// setText sets a member's text if the member has one.
func setText(texts *map[string]string, member string, text types.String) {
	if text.ValueString() == "" {
		return
	}
	if *texts == nil {
		*texts = map[string]string{}
	}
	(*texts)[member] = text.ValueString()
}

// cluster returns the desired cluster, without the authorities and stores, which only a create needs. It includes
// whether its hosts make backups and by which units, but not with which settings: those include secrets, which only a
// configuration has.
func (c clusterModel) cluster(members map[string]memberModel) bootstrap.Cluster {
	return bootstrap.Cluster{
		Backup:      backups.Open(c.Backup),
		Spec:        c.spec(members),
		DataDir:     c.DataDir.ValueString(),
		ClientPort:  int(c.ClientPort.ValueInt64()),
		PeerPort:    int(c.PeerPort.ValueInt64()),
		MetricsPort: int(c.MetricsPort.ValueInt64()),
		Settings:    settings.Flags(c.Settings, c.ExtraFlags),
		ServerNames: value.Texts(c.ExtraServerNames),
		Renewal:     renewal.Of(c.Certificates),
		PeerCA:      c.PeerCACertificate.ValueString(),
		PeerName:    c.PeerCommonName.ValueString(),
		ClientCA:    c.CACertificate.ValueString(),
		ClientCRL:   c.ClientCRL.ValueString(),
		Waived:      waived(c.Preflight),
		MaxFsyncP99: maxFsyncP99(c.Preflight),
	}.Filtered(firewall.Of(c.Firewall))
}

// givenBy returns a cluster with what only a configuration has, its secrets among it: how its hosts back it up, and by
// which servers they renew certificates. Hosts are inspected where no member was before.
func (c clusterModel) givenBy(cluster bootstrap.Cluster, before map[string]memberModel, backup *api.Backup, by authority.Model) bootstrap.Cluster {
	cluster.Inspects = slices.DeleteFunc(slices.Clone(cluster.Members), func(m membership.Member) bool {
		was, is := before[m.Name]
		return is && was.Address.ValueString() == m.Address
	})
	return cluster.BackedUp(backup).RenewedOnHosts(by.OnHosts(cluster.Name, cluster.Renewal.Validity, cluster.Renewal.Before))
}

// dataDir returns the data directory of a new cluster, or "" if it is not known yet.
func (c clusterModel) dataDir() string {
	if c.DataDir.IsNull() && c.Name.ValueString() != "" {
		return api.DefaultDataDir(c.Name.ValueString())
	}
	return c.DataDir.ValueString()
}

// clusterWith returns the desired cluster, with the stores that its members can be given.
func (c clusterModel) clusterWith(members map[string]memberModel, stores providerdata.Stores) bootstrap.Cluster {
	cluster := c.cluster(members)
	cluster.Carried, cluster.Stores = stores.Versions(), stores.Hashes(cluster.Version)
	cluster.StoresOf = map[string]map[string]string{}
	for _, version := range cluster.Carried {
		cluster.StoresOf[version] = stores.Hashes(version)
	}
	return cluster
}

// dropUnmanaged drops the members that no configuration names.
func dropUnmanaged(members map[string]memberModel) {
	maps.DeleteFunc(members, func(_ string, m memberModel) bool { return m.Health.ValueString() == health.Unmanaged })
}

// member returns the member's name and address.
func (m memberModel) member(name string) membership.Member {
	return membership.Member{Name: name, Address: m.Address.ValueString()}
}

// sshTarget returns how to reach the member's host.
func (m memberModel) sshTarget() providerdata.SSHTarget {
	return providerdata.SSHTargetOf(m.Address, m.SSHAddress, m.SSHPort, m.SSHUser, m.HostKey, m.HostCA)
}

// stepList returns the text of each step.
func stepList(steps []membership.Step) types.List {
	texts := make([]string, len(steps))
	for i, step := range steps {
		texts[i] = step.String()
	}
	return value.List(texts)
}

// routesTo returns how to reach the hosts of members.
func routesTo(members map[string]memberModel) providerdata.Routes {
	r := providerdata.Routes{}
	for name, m := range members {
		r[m.member(name)] = m.sshTarget()
	}
	return r
}
