// Package backups is the part of a configuration about the backups that a cluster's hosts make, and what the hosts
// report about them.
package backups

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/setvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/s3"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

// Model is how a cluster is backed up.
type Model struct {
	Schedule         types.String `tfsdk:"schedule"`
	Directory        types.String `tfsdk:"directory"`
	S3               types.Object `tfsdk:"s3"`
	Recipients       types.Set    `tfsdk:"recipients"`
	Keep             *keepModel   `tfsdk:"keep"`
	Rehearsal        types.Object `tfsdk:"rehearsal"`
	MetricsDirectory types.String `tfsdk:"metrics_directory"`
}

// keepModel says which backups stay.
type keepModel struct {
	Last     types.Int64  `tfsdk:"last"`
	Within   types.String `tfsdk:"within"`
	Hourly   types.Int64  `tfsdk:"hourly"`
	Daily    types.Int64  `tfsdk:"daily"`
	Weekly   types.Int64  `tfsdk:"weekly"`
	Verified types.Int64  `tfsdk:"verified"`
}

// rehearsalModel says how backups are proved.
type rehearsalModel struct {
	Schedule types.String     `tfsdk:"schedule"`
	MaxAge   types.String     `tfsdk:"max_age"`
	Identity sensitive.String `tfsdk:"identity"` // write-only: null except in a configuration
}

// These are the defaults: a backup an hour; a rehearsal a week, which is stale a day after the next was due; two days
// of hourly, two weeks of daily and two months of weekly backups, and the newest two proved ones whatever their age.
const (
	backupSchedule    = "hourly"
	rehearsalSchedule = "weekly"
	rehearsalMaxAge   = 8 * 24 * time.Hour
)

var defaultKeep = api.Keep{Hourly: 48, Daily: 14, Weekly: 8, Verified: 2}

var ageRecipient = stringvalidator.RegexMatches(regexp.MustCompile(`^age1[02-9ac-hj-np-z]{58}$`), "must be a public key of age, like age1...")

// Attribute is the attribute that says how the hosts make backups.
func Attribute() schema.SingleNestedAttribute {
	count := func(description string) schema.Int64Attribute {
		return schema.Int64Attribute{Optional: true, MarkdownDescription: description, Validators: []validator.Int64{int64validator.Between(0, 100_000)}}
	}
	return schema.SingleNestedAttribute{
		Optional: true,
		MarkdownDescription: "Backups that the hosts make by themselves: a timer on every member, of which one does each run; if it dies, another takes over. " +
			"A backup is verified before it is stored, encrypted before it leaves the host where there are `recipients`, and stored with a manifest. A run that fails is a failed unit, a metric, and a warning in the next plan.",
		Attributes: map[string]schema.Attribute{
			"schedule": schema.StringAttribute{Optional: true, Validators: []validator.String{calendar{}},
				MarkdownDescription: "When, as a systemd calendar event. Default: `" + backupSchedule + "`."},
			"directory": schema.StringAttribute{Optional: true, Validators: []validator.String{validate.Path},
				MarkdownDescription: "Directory on the hosts to store backups in; it is made where it is not there, readable by root alone. It lies apart from `data_dir` and what members keep beside it (`DATA_DIR.backup`, `DATA_DIR.snapshots`, `DATA_DIR.aside-*`), which are moved and deleted as a whole. Each is on the host that made it, unless that is a file system that the hosts share."},
			"s3": s3.Prefix("S3-compatible storage to store backups in. Credentials are kept on the hosts, readable by root alone.",
				"Required. Prefix that the keys of all objects begin with, like `etcd/prod`."),
			"recipients": schema.SetAttribute{Optional: true, ElementType: types.StringType,
				Validators:          []validator.Set{setvalidator.SizeAtLeast(1), setvalidator.NoNullValues(), setvalidator.ValueStringsAre(ageRecipient)},
				MarkdownDescription: "Public keys of age that backups are encrypted to (`age1...`). Whoever holds the identity of one can read them. Default: none, and backups are stored in the clear."},
			"keep": schema.SingleNestedAttribute{Optional: true,
				MarkdownDescription: "Which backups stay: all that any of these keeps. The newest always stays. Default: `{ hourly = 48, daily = 14, weekly = 8, verified = 2 }`.",
				Attributes: map[string]schema.Attribute{
					"last":     count("The last so many."),
					"within":   schema.StringAttribute{Optional: true, Validators: []validator.String{validate.Duration}, MarkdownDescription: "All that are no older than the newest by more than this, as a duration like `72h`. A gap between two backups counts as no more than the longest time that `schedule` has between two runs, and an hour. So neither an outage nor a clock that is ahead drops a backup."},
					"hourly":   count("The newest of each of the last so many hours that have one."),
					"daily":    count("The newest of each of the last so many days (UTC) that have one."),
					"weekly":   count("The newest of each of the last so many weeks (ISO 8601) that have one."),
					"verified": count("At least so many that a rehearsal has proved, however old; while none is proved, none is dropped. Default: `2`; `0` where backups are encrypted and rehearsals have no identity to read them by."),
				}},
			"rehearsal": schema.SingleNestedAttribute{Optional: true,
				MarkdownDescription: "Rehearsals: on a schedule, the newest backup is fetched as a restore would, restored beside the live member on one of the hosts, started alone and out of reach, read, compared with its manifest, and removed. Default: `{}`, with the defaults below.",
				Attributes: map[string]schema.Attribute{
					"schedule": schema.StringAttribute{Optional: true, Validators: []validator.String{calendar{}}, MarkdownDescription: "When, as a systemd calendar event. Default: `" + rehearsalSchedule + "`."},
					"max_age":  schema.StringAttribute{Optional: true, Validators: []validator.String{validate.Duration}, MarkdownDescription: "How old the last successful one may be before plans warn, as a duration. Default: `192h` (8 days)."},
					"identity": schema.StringAttribute{Optional: true, WriteOnly: true, Sensitive: true, CustomType: sensitive.StringType{}, Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
						MarkdownDescription: "age identities (`AGE-SECRET-KEY-1...`), one a line, with which encrypted backups are read. Kept on the hosts, readable by root alone: " +
							"who has broken into one can read the backups. Without it, of an encrypted backup only the checksum of what is stored is proved. Write-only: no state holds it."},
				}},
			"metrics_directory": schema.StringAttribute{Optional: true, Validators: []validator.String{validate.Path},
				MarkdownDescription: "Directory of node_exporter's textfile collector on the hosts, for metrics of backups and rehearsals, also apart from `data_dir`. Default: they are written to `DATA_DIR.backup`."},
		},
	}
}

// From returns what hosts back the cluster up by, or nil if they do not. Only a configuration has secrets.
//
// The backup has no digest if the object is not wholly known, or comes from a state or a plan.
func From(ctx context.Context, object types.Object, cluster string) (*api.Backup, diag.Diagnostics) {
	if object.IsNull() || object.IsUnknown() {
		return nil, nil
	}
	var m Model
	diags := object.As(ctx, &m, basetypes.ObjectAsOptions{UnhandledUnknownAsEmpty: true})
	b := &api.Backup{Schedule: orElse(m.Schedule, backupSchedule), Directory: m.Directory.ValueString(), MetricsDir: m.MetricsDirectory.ValueString(), Keep: m.keep()}
	s3, d := s3.PrefixFrom(ctx, m.S3)
	diags.Append(d...)
	b.S3 = s3
	if !m.Recipients.IsUnknown() {
		diags.Append(m.Recipients.ElementsAs(ctx, &b.Recipients, true)...)
	}
	var r rehearsalModel
	if !m.Rehearsal.IsNull() {
		diags.Append(m.Rehearsal.As(ctx, &r, basetypes.ObjectAsOptions{UnhandledUnknownAsEmpty: true})...)
	}
	b.Rehearsal = &api.Rehearsal{Schedule: orElse(r.Schedule, rehearsalSchedule), Identity: secret.New(r.Identity.Reveal()), MaxAge: durationOr(r.MaxAge, rehearsalMaxAge)}
	if value.Known(ctx, object) {
		b.Digest = digest(*b, cluster)
	}
	return b, diags
}

// Open returns the part of a backup that its units depend on, which holds no secret, or nil if there is no backup. It
// returns an empty backup if that part is not wholly known.
func Open(object types.Object) *api.Backup {
	if object.IsNull() {
		return nil
	}
	b, diags := From(context.Background(), object, "")
	if b == nil || b.Digest == "" || diags.HasError() {
		return &api.Backup{}
	}
	return &api.Backup{Schedule: b.Schedule, Directory: b.Directory, MetricsDir: b.MetricsDir, Rehearsal: &api.Rehearsal{Schedule: b.Rehearsal.Schedule}}
}

// AllKnown tells whether it is wholly known how hosts back the cluster up, or that they do not.
func AllKnown(object types.Object, backup *api.Backup) bool {
	return object.IsNull() || backup != nil && backup.Digest != ""
}

// keep returns which backups stay. If no rehearsal can read them, none is ever proved, and no proved backup is
// required.
func (m Model) keep() api.Keep {
	keep := defaultKeep
	if k := m.Keep; k != nil {
		keep = api.Keep{
			Last: int(k.Last.ValueInt64()), Within: durationOr(k.Within, 0),
			Hourly: int(k.Hourly.ValueInt64()), Daily: int(k.Daily.ValueInt64()), Weekly: int(k.Weekly.ValueInt64()), Verified: defaultKeep.Verified,
		}
		if !k.Verified.IsNull() {
			keep.Verified = int(k.Verified.ValueInt64())
			return keep
		}
	}
	if !m.readable() {
		keep.Verified = 0
	}
	return keep
}

// readable tells whether the hosts can read their own backups.
func (m Model) readable() bool {
	identity := m.Rehearsal.Attributes()["identity"]
	return m.Recipients.IsNull() || identity != nil && !identity.IsNull()
}

// digest tells one configuration of backups from another. Hosts keep it, and parts of it are shown. It reveals none of
// the secrets in the configuration, which have more entropy than can be tried.
func digest(b api.Backup, cluster string) string {
	b.Digest = ""
	text, _ := json.Marshal(secret.Revealed(b)) // plain values can always be encoded
	sum := hmac.New(sha256.New, []byte(cluster))
	sum.Write(text)
	return hex.EncodeToString(sum.Sum(nil))
}

// Check refuses values that do not fit together. dataDir is empty if the data directory is not known yet.
func Check(ctx context.Context, object types.Object, dataDir string) (diags diag.Diagnostics) {
	if object.IsNull() || object.IsUnknown() {
		return nil
	}
	var m Model
	at := path.Root("backup")
	diags.Append(object.As(ctx, &m, basetypes.ObjectAsOptions{UnhandledUnknownAsEmpty: true})...)
	if m.Directory.IsNull() && m.S3.IsNull() {
		diags.AddAttributeError(at, "The backup has no destination", "backup wants a directory, s3, or both.")
	}
	diags.Append(s3.Check(at.AtName("s3"), m.S3)...)
	for attribute, dir := range map[string]string{"directory": m.Directory.ValueString(), "metrics_directory": m.MetricsDirectory.ValueString()} {
		if dir == "" || dataDir == "" {
			continue
		}
		if own := api.Overlap(dir, dataDir); own != "" {
			diags.AddAttributeError(at.AtName(attribute), "The backup directory overlaps a member's own directory", fmt.Sprintf("backup.%s is %q, which lies in %s, or contains it. A member's own directory is moved or deleted as a whole, with whatever else lies there. Choose a directory apart from it, like /var/backups/etcd.", attribute, dir, own))
		}
	}
	if keep := m.keep(); keep.Last+keep.Hourly+keep.Daily+keep.Weekly == 0 && keep.Within == 0 {
		diags.AddAttributeError(at.AtName("keep"), "No backup is kept", fmt.Sprintf("keep keeps only the %d that are verified: set last, within, hourly, daily or weekly.", keep.Verified))
	}
	if m.Keep != nil && m.Keep.Verified.ValueInt64() > 0 && !m.readable() {
		diags.AddAttributeError(at.AtName("keep").AtName("verified"), "No backup is ever verified", fmt.Sprintf("keep.verified is %d, and without rehearsal.identity the hosts cannot read what they encrypt to recipients, so that nothing would ever be dropped. Set the identity, or verified to 0.", m.Keep.Verified.ValueInt64()))
	}
	return diags
}

func orElse(value types.String, fallback string) string {
	if value.IsNull() {
		return fallback
	}
	return value.ValueString()
}

// durationOr returns a validated duration, or the default if there is none.
func durationOr(value types.String, fallback time.Duration) time.Duration {
	if d, err := time.ParseDuration(value.ValueString()); err == nil {
		return d
	}
	return fallback
}
