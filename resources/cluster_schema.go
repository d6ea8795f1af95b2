package resources

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// etcd's own ports, and one beside them for metrics.
const (
	defaultClientPort  = 2379
	defaultPeerPort    = 2380
	defaultMetricsPort = 2381
)

// notYet ends the description of what a living cluster cannot change in this version.
const notYet = " Cannot be changed on a living cluster yet: a plan that does is refused."

func clusterSchema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: "An etcd cluster on dedicated Linux hosts that are reached over SSH: TLS everywhere, under systemd, " +
			"formed in one apply.\n\nOne resource is one cluster, so that no two members are ever changed at the same time by chance. " +
			"Nothing of it is ever replaced: what cannot be changed is refused by the plan. `terraform apply` may be killed at any moment; " +
			"run again, it goes on from what it finds on the hosts.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Name of the cluster: 1 to 32 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen. " +
					"It scopes everything on a host (unit `etcd@NAME.service`, `/etc/etcd/NAME`), so that clusters of different names can share hosts. Cannot be changed.",
				Validators: []validator.String{clusterName},
			},
			"pki": authorityWriteOnly("The authorities that sign the cluster's certificates: `etcd_pki.NAME.authority`, or an object of the same shape " +
				"from elsewhere (an ephemeral resource, say). Write-only: no key enters this resource's state or plan. " +
				"Its certificates cannot be exchanged for those of another authority yet."),
			"members": schema.MapNestedAttribute{
				Required: true,
				MarkdownDescription: "The members, by name: 1, 3, 5 or 7 of them, each on a host of its own. A name is 1 to 63 lower-case letters, digits and hyphens, " +
					"and becomes etcd's `--name`. Members cannot be added, removed or moved to another address yet: a plan that does is refused.",
				NestedObject: schema.NestedAttributeObject{Attributes: memberAttributes()},
				Validators:   []validator.Map{mapvalidator.KeysAre(memberName)},
			},
			"version": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Version of etcd: a line (`3.7`), which means the newest patch of it that this provider carries, or an exact one (`3.7.3`). " +
					"Default: the newest that it carries. A cluster keeps the version that it was formed with for as long as that satisfies this attribute; " +
					"it cannot be changed on a living cluster yet. The version that runs is in `etcd_version`.",
				Validators: []validator.String{etcdVersion},
			},
			"client_port":  portAttribute(defaultClientPort, "TCP port that clients use, on the member's address and on loopback."),
			"peer_port":    portAttribute(defaultPeerPort, "TCP port that members use among themselves, on the member's address."),
			"metrics_port": portAttribute(defaultMetricsPort, "TCP port for metrics and health checks, plain HTTP on 127.0.0.1 alone."),
			"data_dir": schema.StringAttribute{
				Optional: true,
				Computed: true,
				MarkdownDescription: "Directory of the data on every host: an absolute path, in its shortest spelling, that does not exist or is empty before the cluster is formed. " +
					"Default: `/var/lib/etcd/NAME`." + notYet,
				Validators: []validator.String{cleanPath},
			},
			"settings": settingsAttribute(),
			"deletion_protection": schema.BoolAttribute{
				Optional: true,
				Computed: true,
				Default:  booldefault.StaticBool(true),
				MarkdownDescription: "While true, the cluster cannot be destroyed. To destroy it, set this to false, apply, and then destroy. Default: `true`. " +
					"A replacement (`terraform taint`, `-replace`) is refused whatever this says.",
			},
			"purge_data": schema.BoolAttribute{
				Optional: true,
				Computed: true,
				Default:  booldefault.StaticBool(false),
				MarkdownDescription: "What a destroy does to the data: false moves it aside on each host, where it stays until somebody deletes it; " +
					"true deletes it, with all that was moved aside before. Takes effect once applied. Default: `false`.",
			},
			"recover_from": recoverAttribute(),
			"timeouts":     timeoutsAttribute(ctx),

			"etcd_version": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "The exact version of etcd that the cluster was formed with, like `3.7.3`.",
			},
			"cluster_id": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "etcd's ID of the cluster, hexadecimal.",
			},
			"endpoints": schema.ListAttribute{
				Computed:            true,
				ElementType:         types.StringType,
				MarkdownDescription: "Client URLs of all members, in the order of their names.",
			},
			"ca_certificate": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "PEM certificate of the authority that clients and servers are trusted by: what a client verifies the members with.",
			},
			"peer_ca_certificate": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "PEM certificate of the authority that members trust each other by.",
			},
			"status": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "How the cluster was at the last look: `healthy` (every member is), `degraded` (it serves, and a member is not healthy), " +
					"`no quorum` (it serves nobody), or `unknown` (too many hosts could not be asked to tell).",
			},
			"alarms": schema.ListAttribute{
				Computed:            true,
				ElementType:         types.StringType,
				MarkdownDescription: "Alarms that etcd had raised at the last look: `NOSPACE` (a database has reached its quota, and takes no more writes), `CORRUPT` (the data of the members differs). Not set while there are none.",
			},
			"rollout": schema.ListAttribute{
				Computed:    true,
				ElementType: types.StringType,
				MarkdownDescription: "The steps of the last change, in order. A plan shows here what its apply will do to the hosts; " +
					"an apply that goes on where another was cut short does only those of them that are left.",
			},
			"owner": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "Random token that ties the hosts to this object: a destroy leaves a host alone that carries another one. " +
					"It is an identifier and no secret.",
			},
		},
	}
}

// portAttribute is one of the cluster's ports, with its default.
func portAttribute(port int64, description string) schema.Int64Attribute {
	return schema.Int64Attribute{
		Optional:            true,
		Computed:            true,
		Default:             int64default.StaticInt64(port),
		MarkdownDescription: description + " 1 to 65535. Default: `" + types.Int64Value(port).String() + "`." + notYet,
		Validators:          []validator.Int64{int64validator.Between(1, 65535)},
	}
}

// timeoutsAttribute bounds the operations.
func timeoutsAttribute(ctx context.Context) schema.Attribute {
	attribute := timeouts.Attributes(ctx, timeouts.Opts{
		Create: true, Read: true, Update: true, Delete: true,
		CreateDescription: "How long forming the cluster may take, as a duration like `20m`. Default: `20m`.",
		ReadDescription:   "How long looking at the hosts may take, as a duration. Default: `2m`.",
		UpdateDescription: "How long a change or a repair may take, as a duration. Default: `30m`.",
		DeleteDescription: "How long taking the cluster off its hosts may take, as a duration. Default: `20m`.",
	})
	if nested, ok := attribute.(schema.SingleNestedAttribute); ok {
		nested.MarkdownDescription = "How long operations may take. A step that has begun is finished all the same; none is begun after that."
		return nested
	}
	return attribute
}

// memberAttributes are what a configuration says of a member, and what is observed of it.
func memberAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"address": schema.StringAttribute{
			Required: true,
			MarkdownDescription: "IP address (IPv4, or IPv6 in its shortest spelling) or DNS name, in lower case, by which the other members and clients reach this one. " +
				"Its certificates name it, and nothing else may have it. A member with an IP address listens on it alone (and on loopback), one with a DNS name on all addresses.",
			Validators: []validator.String{hostAddress},
		},
		"host_key": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Public SSH key of the host, like `ssh-ed25519 AAAA...`; several, one a line, while it is being changed. " +
				"Where it is set, no other key is accepted. Can be changed at any time.",
			Validators: []validator.String{publicKeys},
		},
		"host_ca": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Public key of the authority that signs this host's SSH host certificate. Default: the provider's `ssh.host_ca`. " +
				"Can be changed at any time.",
			Validators: []validator.String{publicKeys},
		},
		"ssh_address": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Host name or IP address to reach the host's sshd by, where that is not `address`. Can be changed at any time.",
			Validators:          []validator.String{hostAddress},
		},
		"ssh_port": schema.Int64Attribute{
			Optional:            true,
			MarkdownDescription: "TCP port of the host's sshd, 1 to 65535. Default: the provider's `ssh.port`. Can be changed at any time.",
			Validators:          []validator.Int64{int64validator.Between(1, 65535)},
		},
		"ssh_user": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "User to log in as on this host. Default: the provider's `ssh.user`. Can be changed at any time.",
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
		},
		"zone": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Failure domain of the host (a rack, a region), for those who read the configuration. Can be changed at any time.",
		},
		"id": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "etcd's ID of the member, hexadecimal.",
		},
		"health": schema.StringAttribute{
			Computed: true,
			MarkdownDescription: "How the member was at the last look: `healthy` (a linearizable read through it succeeds), `unhealthy` (it runs, and such a read fails), " +
				"`stopped`, `learner` (it has no vote yet), `removed` (it is no longer in etcd's member list), `missing` (its host carries no part of the cluster), `lost` (its data is gone, another's, or older than it was), " +
				"`blocked` (its host has to be mended first: its file system is not mounted, say), `foreign` (its host is someone else's), " +
				"`unreachable` (its host could not be asked), or `stranger` (it is in etcd's member list, and no configuration knows it).",
		},
		"drift": schema.ListAttribute{
			Computed:    true,
			ElementType: types.StringType,
			MarkdownDescription: "What on the host was not as it was last applied, at the last look: edited flags or unit, another store, certificates that do not hold, a disabled unit, " +
				"and what is behind a health that is not `healthy`. Not set while all is as it should be.",
		},
		"etcd_version": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Version of etcd that the member ran at the last look, like `3.7.3`.",
		},
		"certificate_expiry": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "When the first of the member's certificates expires, as RFC 3339 in UTC.",
		},
		"peer_url": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "URL by which the other members reach it.",
		},
		"client_url": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "URL by which clients reach it.",
		},
	}
}
