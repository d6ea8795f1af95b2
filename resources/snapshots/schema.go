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
		MarkdownDescription: "A snapshot of a cluster. The apply that creates the resource takes it from a healthy voter that has all committed writes: from a follower if there is one, and never from a learner. " +
			"The host verifies the snapshot at once, by the SHA-256 at its end, which etcd's own `snapshot status` does not check, and by reading all of its keys. " +
			"The host sends it over SSH to the machine that runs Terraform, or uploads it to S3-compatible storage. A file gets its name once the whole snapshot is in it, verified and synced to the disk.\n\n" +
			"A later apply takes another snapshot only if `triggers`, the place or the cluster change. At the same place, the new snapshot replaces the previous one once it is complete. " +
			"A snapshot cannot be imported, since it is verified when it is taken. A restore needs only the file.",
		Attributes: map[string]schema.Attribute{
			"cluster": schema.SingleNestedAttribute{
				Required: true,
				MarkdownDescription: "The cluster: `{ name = etcd_cluster.NAME.name, owner = etcd_cluster.NAME.owner, members = etcd_cluster.NAME.members }`. " +
					"A change of `members` alone takes no other snapshot.",
				Attributes: map[string]schema.Attribute{
					"name":  schema.StringAttribute{Required: true, MarkdownDescription: "`name` of the cluster."},
					"owner": schema.StringAttribute{Required: true, MarkdownDescription: "`owner` of the cluster. Hosts that carry a cluster of another owner are left out."},
					"members": schema.MapNestedAttribute{
						Required:            true,
						MarkdownDescription: "`members` of the cluster. Only the attributes that say how to reach the hosts are used.",
						NestedObject:        schema.NestedAttributeObject{Attributes: memberReferenceAttributes()},
						Validators:          []validator.Map{mapvalidator.SizeAtLeast(1)},
					},
				},
			},
			"file": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Path of the file, on the machine that runs Terraform, in a directory that exists at plan time; `~/` is the home directory of the user who runs Terraform. Only that user can read the file (mode 0600). " +
					"The plan refuses a path where something is already, unless it is the snapshot that this resource took before, and a directory that is missing or cannot be written to.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"s3": schema.SingleNestedAttribute{
				Optional:            true,
				MarkdownDescription: "S3-compatible storage that the host uploads the snapshot to. No refresh looks at the object, since no state holds the credentials for that.",
				Attributes:          s3.ObjectAttributes("Key of the object. An object that has this key already is overwritten."),
			},
			"triggers": schema.MapAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Any values. If one of them changes, the next apply takes another snapshot.",
			},
			"purge_data": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Whether a destroy deletes the file. Otherwise, and for an object in S3, Terraform only stops managing it. A replacement (`terraform taint`, `-replace`) deletes no file: " +
					"it appends `.REVISION-SHA256` to the name, with the first 12 digits of the SHA-256. Default: `false`.",
			},
			"timeouts": snapshotTimeouts(ctx),

			"status":       computed("What the last refresh found of the file: `intact`, `missing`, or how it has changed. A plan warns of a missing file, which may be on another machine, and of a changed one, and goes on: no apply takes another snapshot until `triggers` change. Even then the provider overwrites no changed file, and refuses the plan. A snapshot in S3 shows as `intact`, since no refresh looks at it."),
			"revision":     number("etcd's revision that the snapshot holds."),
			"keys":         number("Number of entries: all revisions of all keys that were not compacted."),
			"size":         number("Size of the snapshot in bytes."),
			"sha256":       computed("SHA-256 of the whole file, hexadecimal."),
			"hash":         number("etcd's hash of the key space at the revision, as `etcdctl endpoint hashkv --rev` prints it."),
			"etcd_version": computed("Version of etcd that it was taken from, like `3.7.3`. Only this minor version of etcd or a newer one can restore the snapshot."),
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
		CreateDescription: "How long the apply that creates the snapshot may take, as a duration like `30m`. Default: `30m`.",
		UpdateDescription: "How long an apply that takes another snapshot may take, as a duration. Default: `30m`.",
	}))
}
