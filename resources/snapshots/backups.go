package snapshots

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade"
)

var _ datasource.DataSourceWithConfigure = (*backupsData)(nil)

// listTimeout bounds how long etcd_backups looks for the hosts' backups.
const listTimeout = 2 * time.Minute

// backupsData implements the data source etcd_backups.
type backupsData struct{ providerData *providerdata.Data }

// NewBackups returns the data source etcd_backups.
func NewBackups() datasource.DataSource { return &backupsData{} }

// Metadata sets the name of the data source's type.
func (d *backupsData) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_backups"
}

// Schema describes the attributes.
func (d *backupsData) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	resp.Schema = backupsSchema()
}

// Configure receives the provider's data.
func (d *backupsData) Configure(_ context.Context, req datasource.ConfigureRequest, resp *datasource.ConfigureResponse) {
	d.providerData = providerdata.From(req.ProviderData, &resp.Diagnostics)
}

// backupsModel holds etcd_backups as Terraform sees it.
type backupsModel struct {
	Cluster  types.Object  `tfsdk:"cluster"`
	Backups  []backupEntry `tfsdk:"backups"`
	Problems []string      `tfsdk:"problems"`
}

// backupEntry is one backup at one destination.
type backupEntry struct {
	Name        string       `tfsdk:"name"`
	Destination string       `tfsdk:"destination"`
	SeenBy      []string     `tfsdk:"seen_by"`
	TakenAt     string       `tfsdk:"taken_at"`
	Revision    int64        `tfsdk:"revision"`
	Keys        int64        `tfsdk:"keys"`
	Hash        int64        `tfsdk:"hash"`
	SHA256      string       `tfsdk:"sha256"`
	Size        int64        `tfsdk:"size"`
	StoredSize  int64        `tfsdk:"stored_size"`
	EtcdVersion string       `tfsdk:"etcd_version"`
	ClusterID   string       `tfsdk:"cluster_id"`
	Member      string       `tfsdk:"member"`
	Encrypted   bool         `tfsdk:"encrypted"`
	Foreign     bool         `tfsdk:"foreign"`
	VerifiedAt  types.String `tfsdk:"verified_at"`
}

func backupsSchema() schema.Schema {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	number := func(description string) schema.Int64Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
	}
	ways := map[string]schema.Attribute{"ssh_port": schema.Int64Attribute{Optional: true, MarkdownDescription: "As in `etcd_cluster`."}}
	for _, name := range []string{"address", "host_key", "host_ca", "ssh_address", "ssh_user"} {
		ways[name] = schema.StringAttribute{Optional: true, MarkdownDescription: "As in `etcd_cluster`."}
	}
	return schema.Schema{
		MarkdownDescription: "The backups of a cluster that has `backup`, as its hosts find them. For every plan, the hosts read the manifests at the destinations.",
		Attributes: map[string]schema.Attribute{
			"cluster": schema.SingleNestedAttribute{
				Required:            true,
				MarkdownDescription: "The cluster: `{ name = etcd_cluster.NAME.name, owner = etcd_cluster.NAME.owner, members = etcd_cluster.NAME.members }`.",
				Attributes: map[string]schema.Attribute{
					"name":  schema.StringAttribute{Required: true, MarkdownDescription: "`name` of the cluster."},
					"owner": schema.StringAttribute{Required: true, MarkdownDescription: "`owner` of the cluster. Hosts that carry a cluster of another owner are left out."},
					"members": schema.MapNestedAttribute{
						Required:            true,
						MarkdownDescription: "`members` of the cluster. Only the attributes that say how to reach the hosts are used.",
						NestedObject:        schema.NestedAttributeObject{Attributes: ways},
						Validators:          []validator.Map{mapvalidator.SizeAtLeast(1)},
					},
				},
			},
			"backups": schema.ListNestedAttribute{
				Computed:            true,
				MarkdownDescription: "The backups, the newest first. A backup that is stored at two destinations is listed twice.",
				NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
					"name":         text("Name of the backup."),
					"destination":  text("`directory` or `s3`."),
					"seen_by":      schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: "Names of the members whose hosts find the backup there. A directory that the hosts do not share is each host's own."},
					"taken_at":     text("When it was taken, as RFC 3339 in UTC."),
					"revision":     number("etcd's revision that the backup holds."),
					"keys":         number("Number of entries: all revisions of all keys that were not compacted."),
					"hash":         number("etcd's hash of the key space at the revision."),
					"sha256":       text("SHA-256 of the decrypted snapshot, for `restore.sha256`."),
					"size":         number("Size of the decrypted snapshot in bytes."),
					"stored_size":  number("Size in bytes of what is stored."),
					"etcd_version": text("Version of etcd that it was taken from."),
					"cluster_id":   text("etcd's ID of the cluster that it was taken from, hexadecimal. A restore changes the cluster's ID."),
					"member":       text("Name of the member that it was taken from."),
					"encrypted":    schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether it is encrypted by age."},
					"foreign":      schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether the backup is of another cluster of this name, which keeps its backups at the same place. This cluster never deletes such a backup, and `latest` never means one."},
					"verified_at":  text("When a rehearsal proved that the backup can be restored, as RFC 3339 in UTC. Null: no rehearsal has."),
				}},
			},
			"problems": schema.ListAttribute{
				Computed: true, ElementType: types.StringType,
				MarkdownDescription: "Hosts, destinations and backups that could not be read. Each is a warning too.",
			},
		},
	}
}

// Read asks the hosts for their backups.
func (d *backupsData) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var model backupsModel
	var cluster clusterReference
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	resp.Diagnostics.Append(model.Cluster.As(ctx, &cluster, basetypes.ObjectAsOptions{})...)
	if resp.Diagnostics.HasError() {
		return
	}
	to, diags := cluster.routes(ctx)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() {
		return
	}
	// Hosts themselves give up a destination that sends nothing; nothing else bounds how long its list may take.
	looking, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var list []upgrade.ListedBackup
	executor, err := cluster.executor(ctx, d.providerData, to)
	if err == nil {
		list, model.Problems, err = executor.Backups(ctx, looking, cluster.Owner.ValueString(), to.Members())
	}
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("The backups of cluster %s cannot be listed", cluster.Name.ValueString()), err.Error())
		return
	}
	model.Backups = []backupEntry{}
	for _, b := range list {
		model.Backups = append(model.Backups, newBackupEntry(b))
	}
	if len(model.Problems) > 0 {
		resp.Diagnostics.AddWarning(fmt.Sprintf("Not all backups of cluster %s could be read", cluster.Name.ValueString()), strings.Join(model.Problems, "\n"))
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &model)...)
}

// newBackupEntry returns a backup as Terraform sees it.
func newBackupEntry(b upgrade.ListedBackup) backupEntry {
	e := backupEntry{
		Name: b.Name, Destination: b.Destination, TakenAt: b.TakenAt.UTC().Format(time.RFC3339),
		Revision: b.Revision, Keys: int64(b.Keys), Hash: int64(b.Hash), SHA256: b.SHA256, Size: b.SizeBytes, StoredSize: b.StoredBytes,
		EtcdVersion: b.EtcdVersion, ClusterID: b.ClusterID, Member: b.Member, Encrypted: b.Encrypted, Foreign: b.Foreign,
	}
	for _, m := range b.Seen {
		e.SeenBy = append(e.SeenBy, m.Name)
	}
	if !b.VerifiedAt.IsZero() {
		e.VerifiedAt = types.StringValue(b.VerifiedAt.UTC().Format(time.RFC3339))
	}
	return e
}
