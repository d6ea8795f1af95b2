package backups

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// statusModel is what the hosts reported of the cluster's backups at the last refresh.
type statusModel struct {
	Backup           types.String `tfsdk:"backup"`
	TakenAt          types.String `tfsdk:"taken_at"`
	Revision         types.Int64  `tfsdk:"revision"`
	Error            types.String `tfsdk:"error"`
	Rehearsed        types.String `tfsdk:"rehearsed"`
	RehearsedAt      types.String `tfsdk:"rehearsed_at"`
	RehearsalSeconds types.Int64  `tfsdk:"rehearsal_seconds"`
	BehindRevisions  types.Int64  `tfsdk:"behind_revisions"`
	BehindSeconds    types.Int64  `tfsdk:"behind_seconds"`
	ChecksumsOnly    types.Bool   `tfsdk:"checksums_only"`
	RehearsalError   types.String `tfsdk:"rehearsal_error"`
}

// StatusAttribute is the attribute with that report.
func StatusAttribute() schema.SingleNestedAttribute {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	number := func(description string) schema.Int64Attribute {
		return schema.Int64Attribute{Computed: true, MarkdownDescription: description}
	}
	return schema.SingleNestedAttribute{
		Computed:            true,
		MarkdownDescription: "What the hosts said at the last refresh about the newest run of a backup and the newest rehearsal, whichever member did it. Not set before the first refresh of a cluster with `backup`.",
		Attributes: map[string]schema.Attribute{
			"backup":            text("Name of the newest backup that was stored."),
			"taken_at":          text("When its run ended, as RFC 3339 in UTC."),
			"revision":          number("etcd's revision that the backup holds."),
			"error":             text("Why the newest run failed. Not set where it succeeded."),
			"rehearsed":         text("Name of the backup that was rehearsed last."),
			"rehearsed_at":      text("When that rehearsal ended, as RFC 3339 in UTC."),
			"rehearsal_seconds": number("How long it took, in seconds: fetched, restored, started and read, as a restore would."),
			"behind_revisions":  number("What a restore would have lost then, in revisions."),
			"behind_seconds":    number("What a restore would have lost then, in seconds since the backup was taken."),
			"checksums_only":    schema.BoolAttribute{Computed: true, MarkdownDescription: "Whether only checksums were proved, since the hosts have no identity to decrypt the backup."},
			"rehearsal_error":   text("Why the newest rehearsal failed. Not set where it succeeded."),
		},
	}
}

// StatusType is the type of that attribute.
func StatusType() map[string]attr.Type {
	//nolint:forcetypeassert // a nested attribute is an object
	return StatusAttribute().GetType().(types.ObjectType).AttrTypes
}

// Watch returns what the hosts report of a cluster's backups, and warns of what has gone wrong. Each host knows only
// its own runs, so the newest of all counts.
func Watch(ctx context.Context, backup types.Object, name string, reports bootstrap.Reports, now time.Time) (said types.Object, diags diag.Diagnostics) {
	if backup.IsNull() {
		return types.ObjectNull(StatusType()), nil
	}
	var runs, rehearsals []api.Run
	for _, report := range reports {
		if o := report.Observation; o != nil && o.Backup != nil {
			runs, rehearsals = withRun(runs, o.Backup.Last), withRun(rehearsals, o.Backup.Rehearsed)
		}
	}
	var status statusModel
	at := path.Root("backup")
	if run, found := newestRun(runs, func(api.Run) bool { return true }); found && run.Error != "" {
		status.Error = types.StringValue(run.Error)
		diags.AddAttributeWarning(at, fmt.Sprintf("The last backup of cluster %s failed", name),
			fmt.Sprintf("%s: %s\n\nIts unit is %s.service, on the host of the member that ran it; the next run is as scheduled.", run.Ended.UTC().Format(time.RFC3339), run.Error, api.BackupUnit(name)))
	}
	if run, found := newestRun(runs, func(r api.Run) bool { return r.Error == "" }); found {
		status.Backup, status.TakenAt, status.Revision = types.StringValue(run.Backup), types.StringValue(run.Ended.UTC().Format(time.RFC3339)), types.Int64Value(run.Revision)
	}
	diags.Append(missBackups(name, reports, runs, now)...)
	if run, found := newestRun(rehearsals, func(api.Run) bool { return true }); found {
		status.rehearsal(run)
		if run.Error != "" {
			diags.AddAttributeWarning(at.AtName("rehearsal"), fmt.Sprintf("The last rehearsal of a restore of cluster %s failed", name),
				fmt.Sprintf("%s, backup %s: %s\n\nUntil one succeeds, do not count on that backup. Its unit is %s.service.", run.Ended.UTC().Format(time.RFC3339), run.Backup, run.Error, api.RehearsalUnit(name)))
		}
	}
	desired, d := From(ctx, backup, name)
	if diags.Append(d...); !d.HasError() && desired != nil {
		diags.Append(missRehearsals(name, reports, rehearsals, desired.Rehearsal.MaxAge, now)...)
	}
	said, d = basetypes.NewObjectValueFrom(ctx, StatusType(), status)
	diags.Append(d...)
	return said, diags
}

// missBackups warns if the newest backup is older than the schedule allows: no host reports a run that has not started,
// or was killed. A schedule counts from when the hosts have used it. A run may take as long as the last one, and some
// time more.
func missBackups(name string, reports bootstrap.Reports, runs []api.Run, now time.Time) (diags diag.Diagnostics) {
	var newest, since time.Time
	var every time.Duration
	for _, report := range reports {
		o := report.Observation
		if o == nil || o.Backup == nil || o.Backup.Every == 0 {
			continue
		}
		b := o.Backup
		if every = max(every, b.Every); b.Newest.After(newest) {
			newest = b.Newest
		}
		if since.IsZero() || b.Since.Before(since) { // a host that has joined later has its schedule only from then on
			since = b.Since
		}
	}
	last := newest
	if since.After(last) {
		last = since
	}
	due := every + every/4 + time.Hour
	if run, found := newestRun(runs, func(r api.Run) bool { return r.Error == "" }); found {
		due += run.Ended.Sub(run.Began)
	}
	if every == 0 || now.Sub(last) <= due {
		return nil
	}
	said := fmt.Sprintf("None was stored since backups were set up at %s", since.UTC().Format(time.RFC3339))
	if !newest.IsZero() {
		said = fmt.Sprintf("The newest backup was stored at %s", newest.UTC().Format(time.RFC3339))
	}
	diags.AddAttributeWarning(path.Root("backup"), fmt.Sprintf("Backups of cluster %s are overdue", name),
		fmt.Sprintf("%s, as far as the hosts that answered know, and since %s a run is due every %s. A run that never started, or was killed, leaves no record: see systemctl status %s.timer %s.service on the hosts.",
			said, since.UTC().Format(time.RFC3339), every, api.BackupUnit(name), api.BackupUnit(name)))
	return diags
}

// missRehearsals warns if the newest successful rehearsal is older than it may be, or if there was none for so long.
func missRehearsals(name string, reports bootstrap.Reports, runs []api.Run, maxAge time.Duration, now time.Time) (diags diag.Diagnostics) {
	var newest, since time.Time
	if run, found := newestRun(runs, func(r api.Run) bool { return r.Error == "" }); found {
		newest = run.Ended
	}
	for _, report := range reports {
		o := report.Observation
		if o == nil || o.Backup == nil {
			continue
		}
		if b := o.Backup; b.Proved.After(newest) {
			newest = b.Proved
		}
		if b := o.Backup; !b.Rehearsing.IsZero() && (since.IsZero() || b.Rehearsing.Before(since)) {
			since = b.Rehearsing
		}
	}
	said := fmt.Sprintf("It was at %s", newest.UTC().Format(time.RFC3339))
	switch {
	case newest.IsZero() && since.IsZero():
		return nil // the next apply sets the rehearsals up
	case newest.IsZero() && now.Sub(since) > maxAge:
		said = fmt.Sprintf("None has succeeded since rehearsals were set up at %s", since.UTC().Format(time.RFC3339))
	case newest.IsZero() || now.Sub(newest) <= maxAge:
		return nil
	}
	diags.AddAttributeWarning(path.Root("backup").AtName("rehearsal"), fmt.Sprintf("The last successful rehearsal of a restore of cluster %s is stale", name),
		fmt.Sprintf("%s, as far as the hosts that answered know, and rehearsal.max_age is %s. A run that never started, or was killed, leaves no record: see systemctl status %s.timer %s.service on the hosts.",
			said, maxAge, api.RehearsalUnit(name), api.RehearsalUnit(name)))
	return diags
}

// rehearsal copies the result of the newest rehearsal.
func (s *statusModel) rehearsal(run api.Run) {
	s.RehearsedAt = types.StringValue(run.Ended.UTC().Format(time.RFC3339))
	if run.Backup != "" {
		s.Rehearsed = types.StringValue(run.Backup)
	}
	if run.Error != "" {
		s.RehearsalError = types.StringValue(run.Error)
		return
	}
	s.RehearsalSeconds = types.Int64Value(int64(run.Ended.Sub(run.Began).Round(time.Second) / time.Second))
	s.BehindRevisions, s.BehindSeconds = types.Int64Value(run.BehindRevisions), types.Int64Value(int64(run.BehindTime/time.Second))
	s.ChecksumsOnly = types.BoolValue(run.ChecksumsOnly)
}

func withRun(runs []api.Run, run *api.Run) []api.Run {
	if run == nil {
		return runs
	}
	return append(runs, *run)
}

// newestRun returns the run that ended last among those that a test accepts.
func newestRun(runs []api.Run, is func(api.Run) bool) (last api.Run, found bool) {
	for _, run := range runs {
		if is(run) && (!found || run.Ended.After(last.Ended)) {
			last, found = run, true
		}
	}
	return last, found
}
