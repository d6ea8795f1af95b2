package cluster

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/backups"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/firewall"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/recovery"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/renewal"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/restore"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/cluster/settings"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/timeout"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// These are etcd's default ports, and one beside them for metrics.
const (
	defaultClientPort  = 2379
	defaultPeerPort    = 2380
	defaultMetricsPort = 2381
)

// notYet ends the description of an attribute that cannot be changed.
const notYet = " Cannot be changed on a running cluster: a plan that does is refused."

// clusterSchema returns the schema of etcd_cluster, which names the versions of etcd that the provider carries.
func clusterSchema(ctx context.Context, carried ...string) schema.Schema {
	return schema.Schema{
		Version: clusterSchemaVersion,
		MarkdownDescription: "An etcd cluster on dedicated Linux hosts that are reached over SSH: TLS everywhere, under systemd, " +
			"formed in one apply, and from then on changed while it serves.\n\nOne resource is one cluster, so that no two members are ever changed at the same time by chance. " +
			"Nothing of it is ever replaced: members, version, settings and repairs are updates, whose steps the plan shows in `rollout`, with the arithmetic of the quorum; " +
			"what is not safe, or not possible, is refused by the plan, with no host touched. `terraform apply` may be killed at any moment; " +
			"run again, it continues from what it finds on the hosts.\n\n" +
			"Terraform drops an attribute inside an object (`members`, `settings`, `backup` and the like) that this reference does not name, and says nothing: one that is misspelt counts as not set. The plan shows what counts.",
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "Name of the cluster: 1 to 32 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen. " +
					"It scopes everything on a host (unit `etcd@NAME.service`, `/etc/etcd/NAME`), so that clusters of different names can share hosts. Cannot be changed.",
				Validators: []validator.String{validate.ClusterName},
			},
			"pki": authority.WriteOnly("The authorities that sign the cluster's certificates: `etcd_pki.NAME.authority`, or an object of the same shape " +
				"from elsewhere (an ephemeral resource, say). Write-only: no key enters this resource's state or plan. " +
				"Other authorities are exchanged for those that the cluster has, with no outage: every member comes to trust the new ones beside the old, which takes a restart each; then it is given certificates of the new ones, which takes none; " +
				"then the old ones go, with another restart, unless `trusted` keeps them. Keep them until all clients have certificates of the new ones, and trust these."),
			"members": schema.MapNestedAttribute{
				Required: true,
				MarkdownDescription: "The members, by name: 1, 3, 5 or 7 of them, each on a host of its own. A name is 1 to 63 lower-case letters, digits and hyphens, " +
					"and becomes etcd's `--name`. Members can be added, removed, and moved to another host (by another `address`), " +
					"several in one plan; the apply takes them one at a time, after a snapshot: a healthy member goes once its replacement votes, a dead one before its replacement joins. " +
					"A plan that moves more members at once than the cluster can lose (one of 3, two of 5) is refused; an address that is not known before apply counts as moved. So is a plan that moves a member while another is down. " +
					"A member with another name is another member: it cannot take over a host in the apply in which another leaves it.",
				NestedObject: schema.NestedAttributeObject{Attributes: memberAttributes(), Validators: []validator.Object{validate.Required{"address"}}},
				Validators:   []validator.Map{mapvalidator.KeysAre(validate.MemberName)},
			},
			"version": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Version of etcd: a minor version (`3.7`), of which members run the newest patch that this provider carries, or an exact version (`3.7.3`). " +
					"Default: for a new cluster the newest that the provider carries; a cluster that serves stays on its minor version. If a release of the provider carries a newer patch, " +
					"the next plan rolls it out, unless `hold_restarts` is true; a cluster that runs a newer patch than the provider carries keeps it. A change restarts member by member, one minor version at a time (3.6 to 3.7), " +
					"upwards, and downwards through etcd's own downgrade. `etcd_version` says what runs." + aboutCarried(carried),
				Validators: []validator.String{validate.EtcdVersion},
			},
			"client_port":  portAttribute(defaultClientPort, "TCP port that clients use, on the member's address and on loopback. Clients have to follow a change: each member listens on the new port alone once it was restarted.", settings.ByRoll),
			"peer_port":    portAttribute(defaultPeerPort, "TCP port that members use among themselves, on the member's address.", " A change re-addresses the members: each is listed at its new peer URL and restarted, one by one, the leader last, with its data and its ID."),
			"metrics_port": portAttribute(defaultMetricsPort, "TCP port for metrics and health checks, plain HTTP on 127.0.0.1 alone.", settings.ByRoll),
			"data_dir": schema.StringAttribute{
				Optional: true,
				Computed: true,
				MarkdownDescription: "Directory of the data on every host: an absolute path, in its shortest spelling, that does not exist or is empty before the cluster is formed. " +
					"Default: `/var/lib/etcd/NAME`." + notYet,
				Validators: []validator.String{validate.Path},
			},
			"settings":    settings.Attribute(),
			"extra_flags": settings.ExtraFlagsAttribute(),
			"extra_server_names": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Further DNS names and IP addresses that clients reach members by, like those of a load balancer: every member's server certificate names them, beside the member's own address and loopback. " +
					"No wildcards. A change issues these certificates anew; members take them up without a restart. Default: none.",
				Validators: []validator.Set{setvalidator.SizeBetween(1, 64), setvalidator.NoNullValues(), setvalidator.ValueStringsAre(validate.HostAddress)},
			},
			renewal.Name: renewal.Attribute(),
			"peer_common_name": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Common name of the members' peer certificates, at most 64 characters: members then accept no peer whose certificate has another one (`--peer-cert-allowed-cn`). " +
					"Set it if the authority for peers signs for other clusters too, to a name that only this cluster's certificates get: with the authority of an `etcd_pki`, which signs for one cluster, it adds nothing. " +
					"A change first issues the certificates, without a restart, and then restarts member by member; one name for another takes two restarts each. Plans refuse it while a member cannot be asked: bring its host back, replace it, or take the change back. Take it out, and apply, before you go back to an earlier release of the provider: that one issues certificates without the name, which members then refuse. " +
					"A cluster that is restored, or created from a snapshot, has members accept any name until the apply after that. A member's name is refused here. Default: each certificate has its member's name, and members accept whatever the authority has signed for peers.",
				Validators: []validator.String{validate.CommonName},
			},
			"client_crl": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "List of client certificates that are revoked (PEM `X509 CRL`): `etcd_pki.NAME.client_crl`, or one that another authority has signed. Every member has it (`--client-crl-file`), reads it at each handshake, and refuses the certificates whose serial numbers are in it, within seconds of the apply. " +
					"A change of the list restarts nothing; the first list, and null after one, restart member by member, so set it from the start. " +
					"Connections that a client has already stay until they end, or the member restarts. etcd looks at nothing but serial numbers: not at the list's signature, authority or dates, and while a member cannot read its list it lets no client in, which the next plan repairs. Default: none.",
			},
			firewall.Name: firewall.Attribute(),
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
					"true deletes it, with its snapshots and all that this cluster has moved aside before, and leaves what earlier clusters of the name have left there. Takes effect once applied. Default: `false`.",
			},
			"preflight_at_plan": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Whether a plan looks at hosts that are new to the cluster, and at those whose connection changes, if it knows how to reach them. It changes nothing there, " +
					"and is refused if a host could not carry a member (nobody answers, another host key, too little room, data or ports of somebody else). Set this to false if the same apply makes the machines and " +
					"their addresses are known beforehand; the apply looks at them in any case before it changes anything. Default: `true`.",
			},
			"preflight":     preflightAttribute(),
			"hold_restarts": holdAttribute(),
			"abandon_on_destroy": schema.SetAttribute{
				Optional:    true,
				ElementType: types.StringType,
				MarkdownDescription: "Names of members whose hosts are gone for good: a destroy leaves them behind, and takes the cluster off the other hosts. The destroy looks at them all the same, and is refused " +
					"if one of them answers, unless the disk of its data is not mounted. Of a member that is being moved, and so has two hosts, it leaves behind those that could not be reached at the last refresh. **Should such a host come back, its member starts again** by itself: then, as root, `systemctl disable --now etcd@NAME`. Takes effect once applied; does nothing else.",
				Validators: []validator.Set{setvalidator.NoNullValues()},
			},
			"recover_from": recovery.Attribute(),
			"restore":      restore.Attribute(),
			"backup":       backups.Attribute(),
			"timeouts":     timeoutsAttribute(ctx),

			"etcd_version": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "The exact version of etcd that the members run, or are rolled to by the apply, like `3.7.3`. `members.*.etcd_version` says what each of them ran at the last refresh.",
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
			"client_ca_certificate": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "PEM certificate of the authority that clients and servers are trusted by: what a client verifies the members with.",
			},
			"peer_ca_certificate": schema.StringAttribute{
				Computed:            true,
				MarkdownDescription: "PEM certificate of the authority that members trust each other by.",
			},
			"status": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "How the cluster was at the last refresh: `healthy` (every member is), `degraded` (it serves, and a member is not healthy), " +
					"`no_quorum` (it serves nobody), or `unknown` (too many hosts could not be asked to tell). A plan shows what its apply makes of it, so that `terraform plan -detailed-exitcode` says 2 while anything is to be repaired.",
			},
			"alarms": schema.ListAttribute{
				Computed:            true,
				ElementType:         types.StringType,
				MarkdownDescription: "Alarms that etcd had raised at the last refresh: `NOSPACE` (a database has reached its quota, and takes no more writes), `CORRUPT` (the data of the members differs). Not set while there are none.",
			},
			"rollout": schema.ListAttribute{
				Computed:    true,
				ElementType: types.StringType,
				MarkdownDescription: "What an apply will do to the hosts: a plan shows every step, in order, with its reason and the arithmetic that allows it; " +
					"the apply does nothing else, and stops where the cluster is not as it was planned from. Empty while nothing is to be done: the first refresh after an apply moves the steps to `last_rollout`, " +
					"so that a plan shows its own steps and no others. Known after apply where addresses are not known before it, " +
					"where hosts can only be looked at then, or where an apply was killed in the middle of a change. Steps name an authority by the first 12 digits of its certificate's SHA-256.",
			},
			"last_rollout": schema.ListAttribute{
				Computed:            true,
				ElementType:         types.StringType,
				MarkdownDescription: "The steps of the last apply that changed hosts, in order, as of the first refresh after it; of one that failed, the steps that were begun. Not set before.",
			},
			"planned_change": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "What a plan is for, so that automation can tell a repair from what somebody has to approve: `none` (no host is changed), " +
					"`repair` (the configuration is as it was last applied, and hosts are brought back to it; without a step where members go on trusting authorities that are not in `pki` any more, until a member that is away is back), `create`, " +
					"`change` (the configuration asks for something else than was last applied: members, version, settings, or anything else that it can say; also where hosts are repaired in the same plan), " +
					"`restore` (the data becomes that of a snapshot, or a restore is undone), or `recovery` (`recover_from` overwrites the cluster). Known after apply exactly where `rollout` is. " +
					"Between an apply and the next refresh it says what that apply was for.",
			},
			"owner": schema.StringAttribute{
				Computed: true,
				MarkdownDescription: "Random token that ties the hosts to this object: a destroy leaves a host alone that carries another one. " +
					"It is an identifier and no secret.",
			},
			"backup_status": backups.StatusAttribute(),
		},
	}
}

// portAttribute returns one of the cluster's ports, with its default and what a change of it does.
func portAttribute(port int64, description, change string) schema.Int64Attribute {
	return schema.Int64Attribute{
		Optional:            true,
		Computed:            true,
		Default:             int64default.StaticInt64(port),
		MarkdownDescription: description + " Members run as the user `etcd`, which may bind the ports from 1024 to 65535, unless the hosts allow lower ones (`net.ipv4.ip_unprivileged_port_start`). Default: `" + types.Int64Value(port).String() + "`." + change,
		Validators:          []validator.Int64{int64validator.Between(1, 65535)},
	}
}

// timeoutsAttribute returns the attribute that bounds the operations.
func timeoutsAttribute(ctx context.Context) schema.Attribute {
	return timeout.Bounded("How long operations may take. A step that has begun is finished all the same; none is begun after that.", timeouts.Attributes(ctx, timeouts.Opts{
		Create: true, Read: true, Update: true, Delete: true,
		CreateDescription: "How long forming the cluster may take, as a duration like `20m`. Default: `20m`.",
		ReadDescription:   "How long looking at the hosts may take, as a duration. Default: `2m`.",
		UpdateDescription: "How long a change or a repair may take, as a duration. Default: `30m`.",
		DeleteDescription: "How long taking the cluster off its hosts may take, as a duration. Default: `20m`.",
	}))
}

// memberAttributes returns what a configuration says of a member, and what is observed of it.
func memberAttributes() map[string]schema.Attribute {
	const anyTime = " Can be changed at any time."
	attributes := providerdata.ReachedBy(
		func(description string, rules ...validator.String) schema.Attribute {
			return schema.StringAttribute{Optional: true, MarkdownDescription: description + anyTime, Validators: rules}
		},
		func(description string, rules ...validator.Int64) schema.Attribute {
			return schema.Int64Attribute{Optional: true, MarkdownDescription: description + anyTime, Validators: rules}
		},
	)
	maps.Copy(attributes, map[string]schema.Attribute{
		"address": schema.StringAttribute{
			Optional: true, // to the framework: see required
			MarkdownDescription: "Required. IP address (IPv4, or IPv6 in its shortest spelling) or DNS name, in lower case, by which the other members and clients reach this one. " +
				"Its certificates name it, and nothing else may have it. A member with an IP address listens on it alone (and on loopback), one with a DNS name on all addresses. " +
				"An address of another machine is a replacement: the member is built there, and its old host is left, with the data moved aside. Another address of the machine that the member is on, which an interface of it has to have already, keeps its data and its ID: it is re-addressed, with one restart.",
			Validators: []validator.String{validate.HostAddress},
		},
		"zone": schema.StringAttribute{
			Optional:            true,
			MarkdownDescription: "Failure domain of the host (a rack, a region). Members are restarted zone by zone: those of one zone after another, the leader's zone last. A plan that changes members or zones warns of a zone whose loss is the loss of the quorum. Can be changed at any time.",
		},
		"rebuild": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "Any text. If it changes to a text that the member's data was not begun with, the member is built anew on its host, whatever condition it is in: it is removed, its data is moved aside, " +
				"and it joins again from the others' data, as the plan shows. One member at a time, while a quorum is healthy; for a healthy member, all voters have to be. " +
				"Setting a text for the first time rebuilds the member; taking it out does nothing. A member that is new, or that moves to another machine, joins like that anyway. Terraform's own `-replace` is refused, since it would destroy the cluster.",
			Validators: []validator.String{stringvalidator.LengthBetween(1, 200)},
		},
		"id": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "etcd's ID of the member, hexadecimal.",
		},
		"health": schema.StringAttribute{
			Computed: true,
			MarkdownDescription: "How the member was at the last refresh: `healthy` (a linearizable read through it succeeds), `unhealthy` (it runs, and such a read fails), " +
				"`stopped`, `learner` (it has no vote yet), `removed` (it is no longer in etcd's member list), `missing` (its host carries no part of the cluster), `lost` (its data is gone, another's, or older than it was), " +
				"`blocked` (its host has to be fixed first: its file system is not mounted, or it has no room, say), `foreign` (its host is someone else's), " +
				"`unreachable` (its host does not answer), `barred` (its host answers and keeps the provider out: login, SSH host key, bastion, or a program that may not run there; the member may serve), or `stranger` (it is in etcd's member list, and no configuration knows it).",
		},
		"drift": schema.ListAttribute{
			Computed:    true,
			ElementType: types.StringType,
			MarkdownDescription: "What on the host differed from the last apply, at the last refresh: edited flags or unit, another store, certificates that do not hold, a disabled unit, " +
				"and what is behind a health that is not `healthy`. Where it says `A -> B (host -> desired)`, the host has A, and the next apply makes it B. Not set while all is as it should be.",
		},
		"etcd_version": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "Version of etcd that the member ran at the last refresh, like `3.7.3`.",
		},
		"certificate_expires_at": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "When the first of the member's certificates expires, as RFC 3339 in UTC. Known after apply where the plan renews them, and where it has to leave certificates that are due: its apply changes nothing then, and its warning says why.",
		},
		"peer_url": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "URL by which the other members reach it.",
		},
		"client_url": schema.StringAttribute{
			Computed:            true,
			MarkdownDescription: "URL by which clients reach it.",
		},
	})
	return attributes
}
