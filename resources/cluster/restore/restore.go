// Package restore is the part of a configuration that says from which snapshot a cluster is made.
package restore

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/s3"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/source"
)

// Model is the snapshot that a cluster is made from.
type Model struct {
	File               types.String     `tfsdk:"file"`
	URL                types.String     `tfsdk:"url"`
	S3                 types.Object     `tfsdk:"s3"`
	Backup             types.String     `tfsdk:"backup"`
	SHA256             types.String     `tfsdk:"sha256"`
	Identity           sensitive.String `tfsdk:"identity"` // write-only: null except in a configuration
	OverwriteClusterID types.String     `tfsdk:"overwrite_cluster_id"`
	RollBack           types.Bool       `tfsdk:"roll_back"`
	Triggers           types.Map        `tfsdk:"triggers"`

	// Former names: null except in a configuration, which is refused.
	TakeBack types.Bool   `tfsdk:"take_back"`
	Trigger  types.String `tfsdk:"trigger"`
}

// backupName matches the name of a backup, or "latest". It is part of a key in S3.
var backupName = stringvalidator.RegexMatches(regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,199}$`), "must be the name of a backup, like 20260131T120000Z-r4711-a, or latest")

var sha256Text = stringvalidator.RegexMatches(regexp.MustCompile(`^[0-9a-f]{64}$`), "must be a SHA-256: 64 hexadecimal digits, in lower case")

// Former names of attributes.
var (
	takeBack = validate.Renamed{To: "roll_back"}
	trigger  = validate.Renamed{To: "triggers", How: `write triggers = { trigger = "..." } with the same text, which restores nothing again`}
)

// Attribute is the attribute that says from which snapshot a cluster is made.
func Attribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "The snapshot that the cluster is made from: a new cluster, one whose hosts are gone, or one that serves, if `overwrite_cluster_id` names it. " +
			"Every host gets the snapshot and verifies it before any member is stopped. Then the old members are stopped for good, their data is moved aside, " +
			"and all hosts restore the snapshot, with revisions above all that clients have seen, and everything up to there marked as compacted. The members have to agree, and agree again after a cold start, before clients reach them. " +
			"An apply restores once: while this stays in the configuration unchanged, it does nothing more; another snapshot, or a change of `triggers`, restores again. If an apply was cut short, the next one continues.",
		Attributes: map[string]schema.Attribute{
			"file": schema.StringAttribute{Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "A snapshot on the machine that runs Terraform: a path, in which `~/` is the home directory. It is sent to all hosts over SSH."},
			"url": schema.StringAttribute{Optional: true, Validators: []validator.String{validate.HTTPSURL},
				MarkdownDescription: "A snapshot at a URL, `https://...`. The machine that runs Terraform downloads it, and resumes a download that breaks. Needs `sha256`. The state keeps the URL: if the URL itself grants access, download the snapshot and use `file`."},
			"s3": schema.SingleNestedAttribute{Optional: true, Attributes: s3.ObjectAttributes("Key of the object."),
				MarkdownDescription: "A snapshot in S3-compatible storage, which the hosts download themselves."},
			"backup": schema.StringAttribute{Optional: true, Validators: []validator.String{backupName},
				MarkdownDescription: "The name of a backup in the bucket of `backup.s3`, as `etcd_backups` lists it, or `latest`: the newest, by revision and not by a clock. The hosts download it themselves. " +
					"Without `backup.s3`, one in `backup.directory` of any host that the cluster has: it is sent from there to those that do not have it; then `latest` wants all hosts to be reached."},
			"sha256": schema.StringAttribute{Optional: true, Validators: []validator.String{sha256Text},
				MarkdownDescription: "SHA-256 of the snapshot, decrypted where it is encrypted: `sha256` of the `etcd_snapshot`. A snapshot with another one is refused. Default: only the checksum at the snapshot's end is verified."},
			"identity": schema.StringAttribute{Optional: true, WriteOnly: true, Sensitive: true, CustomType: sensitive.StringType{}, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "age identities (`AGE-SECRET-KEY-1...`), one a line, where the snapshot is encrypted. Default: for a `backup`, those of `backup.rehearsal`. Write-only: no state and no host keeps them."},
			"overwrite_cluster_id": schema.StringAttribute{Optional: true, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
				MarkdownDescription: "`cluster_id` of the running cluster that is given up, with everything that was written to it since the snapshot was taken. Not needed where none of its members lives."},
			"roll_back": schema.BoolAttribute{Optional: true,
				MarkdownDescription: "Undo a restore that is under way, and has not been opened to clients yet: the old data, configuration and members come back, and what the restore has put in their place is moved aside on the hosts (`DATA_DIR.aside-rolled-back-TIME`). Default: `false`."},
			"take_back": schema.BoolAttribute{Optional: true, Validators: []validator.Bool{takeBack}, DeprecationMessage: takeBack.Deprecated(),
				MarkdownDescription: "The former name of `roll_back`, which is refused."},
			"triggers": schema.MapAttribute{Optional: true, ElementType: types.StringType,
				MarkdownDescription: "Any values. Where one of them changes, what is named here is restored once more."},
			FormerTrigger: schema.StringAttribute{Optional: true, Validators: []validator.String{trigger}, DeprecationMessage: trigger.Deprecated(),
				MarkdownDescription: "The former name of `triggers`, which is refused. `triggers = { trigger = \"...\" }` says the same."},
		},
	}
}

// Check refuses attributes that do not fit together, before any host is asked.
func Check(ctx context.Context, object, backup types.Object) (diags diag.Diagnostics) {
	if object.IsNull() || object.IsUnknown() {
		return nil
	}
	at := path.Root("restore")
	var r Model
	diags.Append(object.As(ctx, &r, basetypes.ObjectAsOptions{})...)
	given := 0
	for _, is := range []bool{!r.File.IsNull(), !r.URL.IsNull(), !r.S3.IsNull(), !r.Backup.IsNull()} {
		if is {
			given++
		}
	}
	if given != 1 {
		diags.AddAttributeError(at, "More than one snapshot, or none", fmt.Sprintf("restore names %d places to take it from: set one of file, url, s3 and backup.", given))
	}
	if !r.URL.IsNull() && r.SHA256.IsNull() {
		diags.AddAttributeError(at.AtName("sha256"), "restore.url needs restore.sha256", "What a URL leads to can change: set restore.sha256, so that the apply restores the snapshot that you mean.")
	}
	if !r.Backup.IsNull() && backup.IsNull() {
		diags.AddAttributeError(at.AtName("backup"), "restore.backup needs backup", "restore.backup names a backup at the destinations of backup, and backup is not set. Set it, or name the snapshot by file, url or s3.")
	}
	diags.Append(s3.Check(at.AtName("s3"), r.S3)...)
	return diags
}

// Asked returns the restore that a configuration asks for and that the state does not have as done, or the zero
// Restoration. backup is the backup configuration of the cluster.
func Asked(ctx context.Context, object, done, backup types.Object) (membership.Restoration, diag.Diagnostics) {
	if object.IsNull() || object.IsUnknown() || object.Equal(done) {
		return membership.Restoration{}, nil
	}
	var r Model
	diags := object.As(ctx, &r, basetypes.ObjectAsOptions{})
	asked := membership.Restoration{
		Source: r.name(), SHA256: r.SHA256.ValueString(), Trigger: triggersText(r.Triggers),
		Overwrites: r.OverwriteClusterID.ValueString(), RollBack: r.RollBack.ValueBool(),
	}
	if s3, given := backup.Attributes()["s3"]; given && s3.IsNull() {
		asked.Kept = r.Backup.ValueString()
	}
	return asked, diags
}

// CheckSource reads a snapshot on this machine to its end, and refuses it if it is damaged or not the configured one.
// It is called only for a restore that is still to be done: afterwards nobody has to keep the file.
func CheckSource(ctx context.Context, object types.Object) (diags diag.Diagnostics) {
	if object.IsNull() || object.IsUnknown() {
		return nil
	}
	var r Model
	diags.Append(object.As(ctx, &r, basetypes.ObjectAsOptions{})...)
	if r.File.IsUnknown() || r.File.IsNull() || r.RollBack.ValueBool() || diags.HasError() {
		return diags
	}
	local, err := ssh.ExpandHome(r.File.ValueString())
	var content *source.Content
	if err == nil {
		content, err = source.File(local)
	}
	switch wanted := r.SHA256.ValueString(); {
	case err != nil:
		diags.AddAttributeError(path.Root("restore").AtName("file"), "This cannot be restored", err.Error()+". No host was changed.")
	case wanted != "" && !content.Encrypted && !strings.EqualFold(wanted, content.SHA256):
		diags.AddAttributeError(path.Root("restore").AtName("sha256"), "This cannot be restored",
			fmt.Sprintf("%s has SHA-256 %s, and should have %s. No host was changed.", local, content.SHA256, wanted))
	}
	return diags
}

// FormerTrigger is the attribute that was one text before there were triggers, and the key by which an upgraded state
// has that text.
const FormerTrigger = "trigger"

// triggersText returns triggers as one text, of which hosts have recorded a digest. If there is only the former text,
// it returns that, so that a restore that was done for it is not repeated.
func triggersText(triggers types.Map) string {
	values := map[string]string{}
	for name, value := range triggers.Elements() {
		if text, is := value.(types.String); is {
			values[name] = text.ValueString()
		}
	}
	if text, is := values[FormerTrigger]; is && len(values) == 1 {
		return text
	}
	if len(values) == 0 {
		return ""
	}
	text, _ := json.Marshal(values) // texts can always be encoded
	return string(text)
}

// name returns the snapshot's name in plans, on hosts and in errors.
func (r Model) name() string {
	switch {
	case !r.File.IsNull():
		return "file " + r.File.ValueString()
	case !r.URL.IsNull():
		return source.Public(r.URL.ValueString())
	case !r.Backup.IsNull():
		return "backup " + r.Backup.ValueString()
	}
	text := func(name string) string { s, _ := r.S3.Attributes()[name].(types.String); return s.ValueString() }
	return fmt.Sprintf("object %s in bucket %s at %s", text("key"), text("bucket"), text("endpoint"))
}
