// Package provider is the provider block: how hosts are reached, and which resources exist.
package provider

import (
	"context"
	"crypto/rand"
	"os"
	"os/user"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/embedded"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

var (
	_ provider.Provider                       = (*etcdProvider)(nil)
	_ provider.ProviderWithEphemeralResources = (*etcdProvider)(nil)
	_ provider.ProviderWithFunctions          = (*etcdProvider)(nil)
)

// etcdProvider is the provider etcd.
type etcdProvider struct {
	version string
	now     func() time.Time
}

// model is the provider block.
type model struct {
	SSH         types.Object `tfsdk:"ssh"`
	ProgressLog types.String `tfsdk:"progress_log"`
}

// New returns the constructor of the provider in this version.
func New(version string) func() provider.Provider {
	return func() provider.Provider { return &etcdProvider{version: version, now: time.Now} }
}

// Metadata names the provider.
func (p *etcdProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName, resp.Version = "etcd", p.version
}

// Schema returns the schema of the provider block.
func (p *etcdProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Runs production etcd clusters on dedicated Linux hosts that are reached over SSH: no agent to install first, no open etcd port to the machine that runs Terraform.",
		Attributes: map[string]schema.Attribute{
			"ssh": sshAttribute(),
			"progress_log": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Path of a file that gets a line for every step of a change as it begins, to follow with `tail -f`; `~/` is the home directory. " +
					"It is created for its owner alone, appended to, and holds no secret. Default: the environment variable `" + progressLogVariable + "`, or none.",
			},
		},
	}
}

// Configure passes to resources what they need. It connects to no host, and accepts values that are unknown before
// apply: what needs them reports that.
func (p *etcdProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var config model
	resp.Diagnostics.Append(req.Config.Get(ctx, &config)...)
	if resp.Diagnostics.HasError() {
		return
	}
	stores, err := embedded.Built()
	if err != nil {
		resp.Diagnostics.AddError("This build of the provider is broken", err.Error())
		return
	}
	data := &providerdata.Data{
		Snapshots: &providerdata.Snapshots{},
		Hosts:     p.hosts(ctx, config.SSH, stores, resp),
		Stores:    stores,
		Progress:  p.progress(orVariable(config.ProgressLog, progressLogVariable), resp),
		Operator:  operator(),
		Random:    rand.Reader,
		Now:       p.now,
	}
	resp.ResourceData, resp.EphemeralResourceData, resp.DataSourceData = data, data, data
}

// hosts returns the access to all hosts.
func (p *etcdProvider) hosts(ctx context.Context, object types.Object, stores node.Stores, resp *provider.ConfigureResponse) providerdata.Hosts {
	at := path.Root("ssh")
	if unknown := unknownIn(at, object); len(unknown) > 0 {
		return unknownHosts{unknown}
	}
	var settings sshModel
	if !object.IsNull() {
		resp.Diagnostics.Append(object.As(ctx, &settings, basetypes.ObjectAsOptions{})...)
	}
	const unusable = "The SSH settings cannot be used"
	if err := settings.fill(); err != nil {
		resp.Diagnostics.AddAttributeError(at, unusable, err.Error())
	} else if !object.IsNull() || settings != (sshModel{}) {
		if err := settings.validate(); err != nil {
			resp.Diagnostics.AddAttributeError(at, unusable, err.Error()+fromEnvironment())
		}
	}
	options, err := settings.options()
	if err != nil {
		resp.Diagnostics.AddAttributeError(at.AtName("connect_timeout"), "Bad value for ssh.connect_timeout", err.Error()+fromEnvironment())
	}
	return overSSH{pool: ssh.NewPool(options), ssh: settings, stores: stores}
}

// progress returns the function that reports the steps of changes.
func (p *etcdProvider) progress(file types.String, resp *provider.ConfigureResponse) func(cluster, line string) {
	if file.ValueString() == "" {
		return func(string, string) {}
	}
	log, err := newProgressLog(file.ValueString(), p.now)
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("progress_log"), "The progress log cannot be written", err.Error())
	}
	return log.write
}

// unknownIn returns the attributes within an object that have no value yet.
func unknownIn(at path.Path, object types.Object) []string {
	if object.IsUnknown() {
		return []string{at.String()}
	}
	var unknown []string
	for name, value := range object.Attributes() {
		if nested, ok := value.(types.Object); ok {
			unknown = append(unknown, unknownIn(at.AtName(name), nested)...)
		} else if value.IsUnknown() {
			unknown = append(unknown, at.AtName(name).String())
		}
	}
	slices.Sort(unknown)
	return unknown
}

// operator returns user@machine of this run.
func operator() string {
	name, machine := "somebody", "an unnamed machine"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if hostname, err := os.Hostname(); err == nil {
		machine = hostname
	}
	return name + "@" + machine
}

// carried returns the versions of etcd that this build carries, newest first, or nil if they cannot be read.
func carried() []string {
	stores, err := embedded.Built()
	if err != nil {
		return nil // Configure reports the error
	}
	return stores.Versions()
}

// Resources returns the managed resources.
func (p *etcdProvider) Resources(context.Context) []func() resource.Resource {
	return resources.Managed(carried()...)
}

// EphemeralResources returns the resources that no state ever holds.
func (p *etcdProvider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return resources.Ephemeral()
}

// Functions returns the functions about sizes of clusters.
func (p *etcdProvider) Functions(context.Context) []func() function.Function {
	return resources.Functions()
}

// DataSources returns the data sources.
func (p *etcdProvider) DataSources(context.Context) []func() datasource.DataSource {
	return resources.Data()
}
