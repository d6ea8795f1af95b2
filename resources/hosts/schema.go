package hosts

import (
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/preflight"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// hostModel is etcd_host as Terraform sees it.
type hostModel struct {
	Address    types.String `tfsdk:"address"`
	HostKey    types.String `tfsdk:"host_key"`
	HostCA     types.String `tfsdk:"host_ca"`
	SSHAddress types.String `tfsdk:"ssh_address"`
	SSHPort    types.Int64  `tfsdk:"ssh_port"`
	SSHUser    types.String `tfsdk:"ssh_user"`
	Paths      []string     `tfsdk:"paths"`

	OS                   types.String               `tfsdk:"os"`
	OSID                 types.String               `tfsdk:"os_id"`
	OSVersion            types.String               `tfsdk:"os_version"`
	Kernel               types.String               `tfsdk:"kernel"`
	Architecture         types.String               `tfsdk:"architecture"`
	SystemdVersion       types.Int64                `tfsdk:"systemd_version"`
	Memory               types.Int64                `tfsdk:"memory"`
	Swap                 types.Int64                `tfsdk:"swap"`
	CPUs                 types.Int64                `tfsdk:"cpus"`
	CPUGovernors         []string                   `tfsdk:"cpu_governors"`
	MachineID            types.String               `tfsdk:"machine_id"`
	BootID               types.String               `tfsdk:"boot_id"`
	HostKeys             []string                   `tfsdk:"host_keys"`
	Addresses            []string                   `tfsdk:"addresses"`
	Filesystems          map[string]filesystemModel `tfsdk:"filesystems"`
	Time                 types.String               `tfsdk:"time"`
	ClockSkew            types.Int64                `tfsdk:"clock_skew"`
	ClockSynchronized    types.Bool                 `tfsdk:"clock_synchronized"`
	TransparentHugePages types.String               `tfsdk:"transparent_huge_pages"`
	CgroupVersion        types.Int64                `tfsdk:"cgroup_version"`
	SELinux              types.String               `tfsdk:"selinux"`
	Findings             []findingModel             `tfsdk:"findings"`
}

// filesystemModel is what lies below one path.
type filesystemModel struct {
	MountPoint types.String `tfsdk:"mount_point"`
	Type       types.String `tfsdk:"type"`
	Source     types.String `tfsdk:"source"`
	Size       types.Int64  `tfsdk:"size"`
	Free       types.Int64  `tfsdk:"free"`
	Inodes     types.Int64  `tfsdk:"inodes"`
	FreeInodes types.Int64  `tfsdk:"free_inodes"`
	Disks      []string     `tfsdk:"disks"`
	DiskKind   types.String `tfsdk:"disk_kind"`
}

// findingModel is something that speaks against the host.
type findingModel struct {
	ID       string `tfsdk:"id"`
	Severity string `tfsdk:"severity"`
	Text     string `tfsdk:"text"`
	Remedy   string `tfsdk:"remedy"`
}

// values names all values of an attribute.
func values[T ~string](all ...T) string {
	var names []string
	for _, value := range all {
		names = append(names, fmt.Sprintf("`%s`", value))
	}
	return strings.Join(names, ", ")
}

func hostSchema() schema.Schema {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	number := func(description string) schema.Int64Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
	}
	texts := func(description string) schema.ListAttribute {
		return schema.ListAttribute{Computed: true, ElementType: types.StringType, MarkdownDescription: description}
	}
	attributes := providerdata.ReachedBy(
		func(description string, rules ...validator.String) schema.Attribute {
			return schema.StringAttribute{Optional: true, MarkdownDescription: description, Validators: rules}
		},
		func(description string, rules ...validator.Int64) schema.Attribute {
			return schema.Int64Attribute{Optional: true, MarkdownDescription: description, Validators: rules}
		},
	)
	maps.Copy(attributes, map[string]schema.Attribute{
		"address": schema.StringAttribute{
			Required: true, MarkdownDescription: "IP address or DNS name of the host, in lower case.", Validators: []validator.String{validate.HostAddress},
		},
		"paths": schema.ListAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: fmt.Sprintf("Directories whose file systems to report. A directory that does not exist stands for its nearest parent that does. Default: `%s`, where members have their data.", dataParent),
			Validators:          []validator.List{listvalidator.SizeAtLeast(1), listvalidator.NoNullValues(), listvalidator.UniqueValues(), listvalidator.ValueStringsAre(validate.Path)},
		},

		"os":                     text("Name of the operating system: `Debian GNU/Linux 13 (trixie)`."),
		"os_id":                  text("`ID` of its `/etc/os-release`: `debian`, `rhel`."),
		"os_version":             text("`VERSION_ID` of its `/etc/os-release`: `13`, `9.6`."),
		"kernel":                 text("Release of the kernel."),
		"architecture":           text("`amd64` or `arm64`, on which members run, or the kernel's name of any other architecture."),
		"systemd_version":        number("Version of systemd: `257`."),
		"memory":                 number("Memory in bytes."),
		"swap":                   number("Size of all swap that is turned on, in bytes. 0: none."),
		"cpus":                   number("Number of CPUs."),
		"cpu_governors":          texts("Governors of the CPUs' frequencies, each once. Empty where the kernel has none, as in most virtual machines."),
		"machine_id":             text("Content of `/etc/machine-id`. Machines that were cloned from one image may share it."),
		"boot_id":                text("Random ID of this boot."),
		"host_keys":              texts("Public keys of its sshd in `/etc/ssh`, for `host_key`. They are as trustworthy as the key by which this host was reached."),
		"addresses":              texts("Addresses of its interfaces, except loopback and link-local ones."),
		"time":                   text("Its clock, as RFC 3339 in UTC."),
		"clock_skew":             number("By how many whole seconds, at least, the host's clock is ahead of the clock of the machine that runs Terraform, or behind it if negative. The time that the answer took does not count. 0: no skew is known."),
		"clock_synchronized":     schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether its clock is synchronized, as systemd-timesyncd or chrony says. Null where neither runs."},
		"transparent_huge_pages": text("`always`, `madvise` or `never`."),
		"cgroup_version":         number("Version of its cgroups: 1 or 2."),
		"selinux":                text("`enforcing`, `permissive` or `disabled`."),
		"filesystems": schema.MapNestedAttribute{
			Computed: true, MarkdownDescription: "The file systems, by the paths of `paths`.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"mount_point": text("Where it is mounted."),
				"type":        text("`ext4`, `xfs`, `nfs4` and so on."),
				"source":      text("What is mounted: `/dev/sda2`."),
				"size":        number("Size in bytes."),
				"free":        number("Bytes that are free for users other than root."),
				"inodes":      number("Number of inodes. Null where the file system counts none."),
				"free_inodes": number("Number of free inodes."),
				"disks":       texts("The kernel's names of the disks below it: `sda`, `nvme0n1`."),
				"disk_kind":   text("Kind of the disks: " + values(api.DiskSSD, api.DiskHDD) + ", or " + values(api.DiskVirtual) + " where the kernel of a virtual machine is not told what is behind its disk."),
			}},
		},
		"findings": schema.ListNestedAttribute{
			Computed: true, MarkdownDescription: "What speaks against the host, the gravest first. The guide \"Sizing\" lists all findings, with their thresholds and where these come from.",
			NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
				"id":       text("Name of the finding, which stays the same: `rotational_disk`."),
				"severity": text(values(preflight.Error, preflight.Warning, preflight.Info) + ": no member may be put on the host; a member runs there, and may be slow or fail; nothing is wrong, and some hosts do better."),
				"text":     text("What was found, and what should be there instead."),
				"remedy":   text("What to do about it."),
			}},
		},
	})
	return schema.Schema{
		MarkdownDescription: "Facts about a host, and what speaks against it as the host of a member. Every plan reads them in one round trip over SSH, by a shell script: " +
			"the script installs and changes nothing, and the host may carry a cluster or none. An attribute that the host cannot tell is null. " +
			"A host that does not answer within `ssh.connect_timeout` is no error. Its only finding is `unreachable`, or `barred` if it answers and keeps the provider out, and all other attributes are null or empty.\n\n" +
			"Plans of `etcd_cluster` check new hosts by themselves. This data source is for conditions of your own, and for hosts that no cluster has yet. " +
			"A condition on `findings` fails every plan while the host is down, also the plan that repairs the cluster: remove the condition once a member is on the host.",
		Attributes: attributes,
	}
}
