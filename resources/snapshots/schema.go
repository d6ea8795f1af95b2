package snapshots

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/s3"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/timeout"
)

func snapshotSchema(ctx context.Context) schema.Schema {
	computed := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	number := func(description string) schema.Int64Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
	}
	return schema.Schema{
		Version: snapshotSchemaVersion,
		MarkdownDescription: "A snapshot of a cluster, taken when the resource is created: of a healthy voter that has all that was agreed on, never of a learner, and of one that does not lead where there is one. " +
			"It is verified at once, by the SHA-256 that it ends in, which etcd's own `snapshot status` does not look at, and by a read of all of its keys. " +
			"It is sent over SSH into a file of the machine that runs Terraform, or uploaded to S3-compatible storage by the host. A file gets its name once the whole snapshot is in it, verified and on the disk.\n\n" +
			"It is not taken anew by itself: change `triggers` for that. The new snapshot then takes the place of the one before, or, where that fails, the one before stays. " +
			"It cannot be imported, since it is verified when it is taken; a restore needs the file alone.",
		Attributes: map[string]schema.Attribute{
			"cluster": schema.SingleNestedAttribute{
				Required: true,
				MarkdownDescription: "The cluster: `{ name = etcd_cluster.NAME.name, owner = etcd_cluster.NAME.owner, members = etcd_cluster.NAME.members }`. " +
					"A change of the members takes no other snapshot.",
				Attributes: map[string]schema.Attribute{
					"name":  schema.StringAttribute{Required: true, MarkdownDescription: "`name` of the cluster."},
					"owner": schema.StringAttribute{Required: true, MarkdownDescription: "`owner` of the cluster: hosts that carry another are not asked."},
					"members": schema.MapNestedAttribute{
						Required:            true,
						MarkdownDescription: "`members` of the cluster, of which only the attributes that say how to reach their hosts are used.",
						NestedObject:        schema.NestedAttributeObject{Attributes: memberReferenceAttributes()},
						Validators:          []validator.Map{mapvalidator.SizeAtLeast(1)},
					},
				},
			},
			"file": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Path of the file, on the machine that runs Terraform, in an existing directory; `~/` is the home directory of the user who runs Terraform. Only that user can read the file (mode 0600). " +
					"A file that is there already is refused, but for the snapshot that this resource has taken before.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"s3": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "S3-compatible storage that the host uploads the snapshot to. It is not looked at again afterwards: no state holds the credentials for that.",
				Attributes:          s3.ObjectAttributes("Key of the object. One that is there is overwritten."),
			},
			"triggers": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Any values. Where one of them changes, another snapshot is taken in the place of this one.",
			},
			"purge_data": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Whether a destroy deletes the file. Otherwise, and for an object in S3, Terraform only stops managing it. A replacement (`terraform taint`, `-replace`) never deletes it: " +
					"it is renamed, `.REVISION-SHA256` appended. Default: `false`.",
			},
			"timeouts": snapshotTimeouts(ctx),

			"status":       computed("What the last refresh found of the file: `intact`, `missing`, or how it has changed. A plan warns of a file that is missing, as on another machine, or has changed, and leaves it at that: nothing takes its place until `triggers` change. One that has changed is not overwritten even then: such a plan is refused. What lies in S3 is always `intact`."),
			"revision":     number("etcd's revision that the snapshot holds."),
			"keys":         number("Number of entries in it: of all revisions of all keys that were not compacted."),
			"size":         number("Its size in bytes."),
			"sha256":       computed("SHA-256 of the whole file, hexadecimal."),
			"hash":         number("etcd's hash of the key space at the revision, as `etcdctl endpoint hashkv --rev` prints it."),
			"etcd_version": computed("Version of etcd that it was taken from, like `3.7.3`. A snapshot can be restored by this minor version of etcd or a newer one, never by an older."),
			"cluster_id":   computed("etcd's ID of the cluster that it was taken from, hexadecimal."),
			"member":       computed("Name of the member that it was taken from."),
			"taken_at":     computed("When it was taken, as RFC 3339 in UTC, by the clock of the host."),
		},
	}
}

// memberReferenceAttributes says how to reach a member's host, as in etcd_cluster. A member without an address is an
// unmanaged one that the last refresh has found in etcd's member list.
func memberReferenceAttributes() map[string]schema.Attribute {
	ways := map[string]schema.Attribute{"ssh_port": schema.Int64Attribute{Optional: true, MarkdownDescription: "As in `etcd_cluster`."}}
	for _, name := range []string{"address", "host_key", "host_ca", "ssh_address", "ssh_user"} {
		ways[name] = schema.StringAttribute{Optional: true, MarkdownDescription: "As in `etcd_cluster`."}
	}
	return ways
}

// snapshotTimeouts bound operations that take a snapshot.
func snapshotTimeouts(ctx context.Context) schema.Attribute {
	return timeout.Bounded("How long operations may take.", timeouts.Attributes(ctx, timeouts.Opts{
		Create: true, Update: true,
		CreateDescription: "How long taking it may take, as a duration like `30m`. Default: `30m`.",
		UpdateDescription: "How long taking another may take, as a duration. Default: `30m`.",
	}))
}
