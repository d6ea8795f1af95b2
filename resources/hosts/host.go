// Package hosts is what Terraform reads of hosts, whatever cluster they carry, if any.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/clocks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/preflight"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

var _ datasource.DataSourceWithConfigure = (*hostData)(nil)

// dataParent is where members have their data, unless data_dir says otherwise.
const dataParent = "/var/lib/etcd"

// lookTimeout bounds a look: a directory on a network file system whose server is away hangs.
const lookTimeout = 2 * time.Minute

// hostData implements the data source etcd_host.
type hostData struct{ providerData *providerdata.Data }

// New returns the data source etcd_host.
func New() datasource.DataSource { return &hostData{} }

// Metadata sets the name of the data source's type.
func (d *hostData) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_host"
}

// Schema describes the attributes.
func (d *hostData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = hostSchema()
}

// Configure receives the provider's data.
func (d *hostData) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.providerData = providerdata.From(req.ProviderData, &resp.Diagnostics)
}

// Read asks the host.
func (d *hostData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model hostModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	target := providerdata.SSHTargetOf(model.Address, model.SSHAddress, model.SSHPort, model.SSHUser, model.HostKey, model.HostCA)
	host, err := d.look(ctx, target, model.paths())
	switch {
	case err == nil:
		model.take(host)
	case errors.Is(err, providerdata.ErrNotKnown) || ctx.Err() != nil:
		resp.Diagnostics.AddError(fmt.Sprintf("Host %s cannot be read", target.Address), err.Error())
		return
	default:
		model.takeNothing(err)
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

// look makes the first contact with a host, and changes nothing there.
func (d *hostData) look(ctx context.Context, target providerdata.SSHTarget, paths []string) (preflight.Host, error) {
	way, err := d.providerData.Hosts.Host(target)
	if err != nil {
		return preflight.Host{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	asked := d.providerData.Now()
	contact, err := way.Contact(ctx, "", api.ObserveRequest{DataDir: paths[0], Inventory: paths})
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return preflight.Host{}, fmt.Errorf("the host has not answered within %s: see on it whether `df %s` ends, which a network file system keeps waiting whose server is away", lookTimeout, strings.Join(paths, " "))
	}
	if err != nil {
		return preflight.Host{}, err
	}
	if contact.Inventory == nil {
		contact.Inventory = &api.Inventory{}
	}
	return preflight.Host{Contact: contact, Clock: clocks.Of(asked, d.providerData.Now(), contact.Time, time.Second)}, nil
}

// paths returns the paths whose file systems are of interest.
func (m hostModel) paths() []string {
	if len(m.Paths) == 0 {
		return []string{dataParent}
	}
	return m.Paths
}

// take writes what is known of the host into the model.
func (m *hostModel) take(host preflight.Host) {
	i := host.Inventory
	m.OS, m.OSID, m.OSVersion = text(i.OS), text(i.OSID), text(i.OSVersion)
	m.Kernel, m.Architecture = text(host.Kernel), text(preflight.Architecture(host.Machine))
	if m.Architecture.IsNull() {
		m.Architecture = text(host.Machine)
	}
	m.SystemdVersion, m.Memory, m.CPUs = number(int64(i.SystemdVersion)), number(i.MemoryBytes), number(int64(i.CPUs))
	m.Swap = types.Int64Value(i.SwapBytes)
	m.MachineID, m.BootID = text(host.MachineID), text(host.BootID)
	m.HostKeys, m.Addresses, m.CPUGovernors = append([]string{}, i.HostKeys...), append([]string{}, i.Addresses...), append([]string{}, i.Governors...)
	m.Time = types.StringValue(host.Time.UTC().Format(time.RFC3339))
	m.ClockSkew = types.Int64Value(int64(host.Clock.Skew() / time.Second))
	m.ClockSynchronized = types.BoolPointerValue(map[api.Answer]*bool{api.Yes: new(true), api.No: new(false)}[i.Synchronized])
	m.TransparentHugePages, m.SELinux, m.CgroupVersion = text(i.HugePages), text(i.SELinux), number(int64(i.Cgroup))
	m.Filesystems = map[string]filesystemModel{}
	for _, f := range i.Filesystems {
		m.Filesystems[f.Path] = newFilesystem(f)
	}
	m.Findings = []findingModel{}
	for _, f := range preflight.Findings(host) {
		m.Findings = append(m.Findings, findingModel{f.ID, string(f.Severity), f.Text, f.Remedy})
	}
}

// takeNothing writes into the model that nothing is known of the host, and why. It is no error: one host that is down
// would refuse every plan, also one that replaces the member on it.
func (m *hostModel) takeNothing(why error) {
	nothing := api.Inventory{}
	for _, path := range m.paths() {
		nothing.Filesystems = append(nothing.Filesystems, api.Filesystem{Path: path})
	}
	m.take(preflight.Host{Contact: api.Contact{Inventory: &nothing}})
	m.Swap, m.Time = types.Int64Null(), types.StringNull()
	f := preflight.Unread(why.Error(), bootstrap.Barrier(why))
	m.Findings = []findingModel{{f.ID, string(f.Severity), f.Text, f.Remedy}}
}

// newFilesystem returns a file system as Terraform sees it.
func newFilesystem(f api.Filesystem) filesystemModel {
	m := filesystemModel{
		MountPoint: text(f.Mount), Type: text(f.Type), Source: text(f.Source), DiskKind: text(string(f.Kind)), Disks: append([]string{}, f.Disks...),
	}
	if f.SizeBytes > 0 {
		m.Size, m.Free = types.Int64Value(f.SizeBytes), types.Int64Value(f.FreeBytes)
	}
	if f.Inodes > 0 {
		m.Inodes, m.FreeInodes = types.Int64Value(f.Inodes), types.Int64Value(f.FreeInodes)
	}
	return m
}

// text returns a text, or null if it is not known.
func text(known string) types.String {
	if known == "" {
		return types.StringNull()
	}
	return types.StringValue(known)
}

// number returns a number, or null if it is not known.
func number(known int64) types.Int64 {
	if known == 0 {
		return types.Int64Null()
	}
	return types.Int64Value(known)
}
