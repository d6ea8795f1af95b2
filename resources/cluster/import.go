package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/identityschema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/firewall"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/settings"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

var (
	_ resource.ResourceWithImportState = (*clusterResource)(nil)
	_ resource.ResourceWithIdentity    = (*clusterResource)(nil)
)

// identityModel is the identity of a cluster, by which Terraform imports it from 1.12 on. It changes with the members.
type identityModel struct {
	Name  types.String `tfsdk:"name"`
	Hosts types.List   `tfsdk:"hosts"`
}

// IdentitySchema describes the identity.
func (r *clusterResource) IdentitySchema(_ context.Context, _ resource.IdentitySchemaRequest, resp *resource.IdentitySchemaResponse) {
	resp.IdentitySchema = identityschema.Schema{Attributes: map[string]identityschema.Attribute{
		"name": identityschema.StringAttribute{RequiredForImport: true, Description: "Name of the cluster."},
		"hosts": identityschema.ListAttribute{
			RequiredForImport: true, ElementType: types.StringType,
			Description: "Addresses at which the sshd of its hosts is reached. For an import, one host that carries a member is enough.",
		},
	}}
}

// identify writes the identity of the cluster, with the hosts of all members that a configuration has.
func (c clusterModel) identify(ctx context.Context, identity *tfsdk.ResourceIdentity) (diags diag.Diagnostics) {
	members, diags := c.memberModels(ctx)
	if identity == nil || diags.HasError() {
		return diags
	}
	dropUnmanaged(members)
	var hosts []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		hosts = append(hosts, members[name].sshTarget().Address)
	}
	return append(diags, identity.Set(ctx, identityModel{c.Name, value.List(hosts)})...)
}

// ImportState takes a finished cluster into the state, by NAME@host[,host...] or by its identity. It reads everything
// from the hosts and changes nothing there.
func (r *clusterResource) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	name, hosts, err := imported(ctx, req)
	if err != nil {
		resp.Diagnostics.AddError("The import ID of the cluster is not valid", err.Error())
		return
	}
	var state clusterModel
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("name"), name)...) // makes all else null
	resp.Diagnostics.Append(resp.State.Get(ctx, &state)...)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	markers, err := r.markers(ctx, name, hosts)
	if err == nil {
		err = r.adopt(ctx, &state, markers)
	}
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("Cluster %s was not imported", name), err.Error())
		return
	}
	resp.Diagnostics.Append(state.identify(ctx, resp.Identity)...)
	resp.Diagnostics.Append(resp.State.Set(ctx, &state)...)
}

// imported returns which cluster is to be imported, and the hosts that tell of it.
func imported(ctx context.Context, req resource.ImportStateRequest) (name string, hosts []string, err error) {
	id := req.ID
	if id == "" && req.Identity != nil {
		var identity identityModel
		diags := req.Identity.Get(ctx, &identity)
		diags.Append(identity.Hosts.ElementsAs(ctx, &hosts, false)...)
		if diags.HasError() {
			return "", nil, errors.New(diags[0].Detail())
		}
		id = identity.Name.ValueString() + "@" + strings.Join(hosts, ",")
	}
	return parseImport(id)
}

// parseImport parses NAME@host[,host...].
func parseImport(id string) (name string, hosts []string, err error) {
	name, list, found := strings.Cut(id, "@")
	if !found || name == "" || list == "" {
		return "", nil, fmt.Errorf(`%q names no cluster: it has to be NAME@host[,host...], like "prod@192.0.2.11,192.0.2.12,192.0.2.13"`, id)
	}
	for host := range strings.SplitSeq(list, ",") {
		host = strings.TrimSpace(host)
		if err := validate.CheckAddress(host); err != nil {
			return "", nil, fmt.Errorf("%q in %q is no host: %w; it %s", host, id, err, validate.HostAddress.Description(context.Background()))
		}
		hosts = append(hosts, host)
	}
	return name, hosts, nil
}

// markers returns what the hosts record of the cluster, by host. The records have to agree on the cluster.
func (r *clusterResource) markers(ctx context.Context, name string, hosts []string) (map[string]api.Marker, error) {
	markers := map[string]api.Marker{}
	var failures []error
	unasked := false
	for _, address := range hosts {
		host, err := r.providerData.Hosts.Host(providerdata.SSHTarget{Address: address})
		if err != nil {
			return nil, err
		}
		contact, err := host.Contact(ctx, name, api.ObserveRequest{DataDir: api.DefaultDataDir(name)})
		switch first, some := markers[hosts[0]]; {
		case err != nil:
			failures, unasked = append(failures, err), true
		case contact.MarkerError != "":
			failures = append(failures, fmt.Errorf("%s: %s", address, contact.MarkerError))
		case contact.Marker == nil:
			failures = append(failures, fmt.Errorf("%s: it carries no cluster called %s", address, name))
		case contact.Marker.Phase != api.PhaseFormed:
			failures = append(failures, fmt.Errorf("%s: the create of %s is not finished there: apply the configuration that began it", address, name))
		case some && (first.Owner != contact.Marker.Owner || first.ClusterID != contact.Marker.ClusterID):
			failures = append(failures, fmt.Errorf("%s: its %s is another cluster (ID %s) than that of %s (ID %s)", address, name, contact.Marker.ClusterID, hosts[0], first.ClusterID))
		default:
			markers[address] = *contact.Marker
		}
	}
	if unasked {
		failures = append(failures, errors.New(howToReach))
	}
	return markers, errors.Join(failures...)
}

// howToReach says which settings an import uses to reach hosts: Terraform passes it no configuration of the resource.
const howToReach = `
An import reads no members from the configuration: their own host_key, host_ca, ssh_address, ssh_port and ssh_user do not count for it. ` +
	`What counts is ssh in the provider block, and the environment: ETCD_SSH_KNOWN_HOSTS_FILE (ssh.known_hosts_file), a file with the hosts' keys in it, ` +
	`or ETCD_SSH_HOST_CA (ssh.host_ca) for those keys, and ETCD_SSH_USER. ` +
	`Leave it set until the first apply after the import has taken what the members say into the state`

// adopt fills the model from the hosts' records, and then from what the hosts report.
func (r *clusterResource) adopt(ctx context.Context, state *clusterModel, markers map[string]api.Marker) error {
	members := map[string]memberModel{}
	for host, marker := range markers {
		state.record(marker)
		for entry := range strings.SplitSeq(marker.InitialCluster, ",") {
			name, peer, _ := strings.Cut(entry, "=")
			address := membership.HostOf(peer)
			if address == peer {
				return fmt.Errorf("%s: the marker names member %s with peer URL %q, which is none: something else has written it; find out what before the cluster is imported", host, name, peer)
			}
			member := members[name]
			member.Address = types.StringValue(address)
			if name == marker.Member && host != address {
				member.SSHAddress = types.StringValue(host)
			}
			if name == marker.Member && marker.Rebuild != "" {
				member.Rebuild = types.StringValue(marker.Rebuild)
			}
			members[name] = member
		}
	}
	cluster := state.cluster(members)
	state.Endpoints, state.LastRollout = value.List(cluster.Endpoints()), types.ListNull(types.StringType)
	state.closeRollout()
	for _, m := range cluster.Members {
		member := members[m.Name]
		member.PeerURL, member.ClientURL = types.StringValue(cluster.PeerURL(m)), types.StringValue(cluster.ClientURL(m))
		members[m.Name] = member
	}
	executor, err := r.executor(ctx, cluster, "import", routesTo(members), nobody)
	if err != nil {
		return err
	}
	reports := executor.Observe(ctx, routesTo(members).Members())
	if err := state.readBack(reports); err != nil {
		return err
	}
	_, diags := state.observe(ctx, state.clusterWith(members, r.providerData.Stores), members, reports, providerdata.Routes{}, moments{now: r.providerData.Now()})
	if diags.HasError() {
		return errors.New(diags[0].Detail())
	}
	return nil
}

// record takes over what the cluster's record on the hosts says.
func (c *clusterModel) record(marker api.Marker) {
	c.Name, c.Owner, c.ClusterID = types.StringValue(marker.Cluster), types.StringValue(marker.Owner), types.StringValue(marker.ClusterID)
	c.DataDir = types.StringValue(marker.DataDir)
	c.ClientPort, c.PeerPort = types.Int64Value(int64(marker.ClientPort)), types.Int64Value(int64(marker.PeerPort))
	c.MetricsPort = types.Int64Value(int64(marker.MetricsPort))
	c.DeletionProtection, c.PurgeData = types.BoolValue(true), types.BoolValue(false)
	c.AbandonOnDestroy = types.SetNull(types.StringType)
}

// readBack takes over the configuration of one member, which is the same on all members.
func (c *clusterModel) readBack(reports bootstrap.Reports) error {
	for _, m := range c.cluster(nil).AllMembers(reports) {
		o := reports[m].Observation
		if o == nil || o.Marker == nil {
			continue
		}
		flags := map[string]string{}
		for _, line := range o.Flags {
			name, value, _ := strings.Cut(strings.TrimPrefix(line, "--"), "=")
			flags[name] = value
		}
		own, err := settings.From(flags)
		if err != nil {
			return err
		}
		c.ExtraFlags, c.ClientCRL, c.PeerCommonName = settings.ExtraFlagsFrom(flags), types.StringNull(), types.StringNull()
		if name := reports.PeerName(); name != "" {
			c.PeerCommonName = types.StringValue(name)
		}
		if flags["client-crl-file"] != "" && o.ClientCRL != "" {
			c.ClientCRL = types.StringValue(o.ClientCRL)
		}
		c.Firewall = firewall.From(o.Firewall)
		c.ExtraServerNames = types.SetNull(types.StringType)
		if names := c.cluster(nil).ServerNamesOf(m, o.Certificates[api.KeyServer].PEM); len(names) > 0 {
			c.ExtraServerNames = types.SetValueMust(types.StringType, value.List(names).Elements())
		}
		c.Settings, c.EtcdVersion = own, types.StringValue(o.Store.EtcdVersion)
		c.CACertificate = types.StringValue(o.Certificates["client-ca"].PEM)
		c.PeerCACertificate = types.StringValue(o.Certificates["peer-ca"].PEM)
		return nil
	}
	return errors.New("no host could be asked what its member runs by")
}
