package snapshots

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/durable"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/s3"
)

// snapshotTimeout bounds taking a snapshot if the configuration does not. A snapshot of 1 GiB takes 10 s.
const snapshotTimeout = 30 * time.Minute

// Values of status. Any other value says how the file has changed.
const (
	snapshotIntact  = "intact"
	snapshotMissing = "missing"
)

// snapshotModel holds etcd_snapshot as Terraform sees it.
type snapshotModel struct {
	Cluster  types.Object   `tfsdk:"cluster"`
	File     types.String   `tfsdk:"file"`
	S3       types.Object   `tfsdk:"s3"`
	Triggers types.Map      `tfsdk:"triggers"`
	Purge    types.Bool     `tfsdk:"purge_data"`
	Timeouts timeouts.Value `tfsdk:"timeouts"`

	Status      types.String `tfsdk:"status"`
	Revision    types.Int64  `tfsdk:"revision"`
	Keys        types.Int64  `tfsdk:"keys"`
	Size        types.Int64  `tfsdk:"size"`
	SHA256      types.String `tfsdk:"sha256"`
	Hash        types.Int64  `tfsdk:"hash"`
	EtcdVersion types.String `tfsdk:"etcd_version"`
	ClusterID   types.String `tfsdk:"cluster_id"`
	Member      types.String `tfsdk:"member"`
	TakenAt     types.String `tfsdk:"taken_at"`
}

// take takes a snapshot to the place that the model names. before is the snapshot of the state, which take replaces if
// it is at the same place.
func (r *snapshotResource) take(ctx context.Context, config snapshotModel, plan *snapshotModel, before snapshotModel) (diags diag.Diagnostics) {
	var cluster clusterReference
	diags.Append(plan.Cluster.As(ctx, &cluster, basetypes.ObjectAsOptions{})...)
	s3, d := s3.ObjectFrom(ctx, config.S3)
	diags.Append(d...)
	if diags.HasError() {
		return diags
	}
	to, d := cluster.routes(ctx)
	diags.Append(d...)
	executor, err := cluster.executor(ctx, r.providerData, to)
	if diags.HasError() || err != nil {
		diags.AddError("No snapshot was taken", fmt.Sprint(err))
		return diags
	}
	save := func(out io.Writer) (api.Saved, error) {
		from, saved, err := executor.Save(ctx, cluster.Owner.ValueString(), to.Members(), out, s3)
		plan.Member = types.StringValue(from.Name)
		return saved, err
	}
	var saved api.Saved
	if s3 != nil {
		saved, err = save(io.Discard)
	} else {
		ours := plan.File.Equal(before.File) && before.look() == snapshotIntact // what came there since the plan is not
		saved, err = writeSnapshot(plan.File.ValueString(), ours, save)
	}
	if err != nil {
		diags.AddError("No snapshot was taken", err.Error()+"\n\nWhat there was before is as it was. Apply again to try anew.")
		return diags
	}
	executor.Progress(fmt.Sprintf("snapshot of revision %d with %d keys from %s, sha256 %s", saved.Revision, saved.Keys, plan.Member.ValueString(), saved.SHA256))
	plan.taken(saved)
	return diags
}

// writeSnapshot writes what save sends into a file. The file gets its name once all of it is on the disk. An existing
// file stays unless it is ours to replace.
func writeSnapshot(file string, replace bool, save func(io.Writer) (api.Saved, error)) (saved api.Saved, err error) {
	local, err := ssh.ExpandHome(file)
	if err != nil {
		return saved, err
	}
	if !replace {
		if err := mustBeFree(file, local); err != nil {
			return saved, err
		}
	}
	draft, err := os.CreateTemp(filepath.Dir(local), "."+filepath.Base(local)+".*.part") // made with mode 0600
	if err != nil {
		return saved, fmt.Errorf("write %s: %w", file, err)
	}
	defer func() { _ = os.Remove(draft.Name()) }() // it is gone where it got its name
	sum, disk := sha256.New(), durable.NewWriter(draft)
	saved, err = save(io.MultiWriter(disk, sum))
	if err == nil && hex.EncodeToString(sum.Sum(nil)) != saved.SHA256 {
		err = fmt.Errorf("what arrived has the SHA-256 %x, and the host sent %s: it was changed on its way", sum.Sum(nil), saved.SHA256)
	}
	if err := errors.Join(err, disk.Sync(), draft.Close()); err != nil {
		return saved, err
	}
	place := os.Link // fails where something is there by now
	if replace {
		place = os.Rename
	}
	if err := place(draft.Name(), local); err != nil {
		return saved, err
	}
	return saved, syncDirectory(filepath.Dir(local))
}

// syncDirectory syncs the names in a directory to the disk.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// look returns what became of the snapshot's file. It does not look into S3, which takes credentials that no refresh
// has.
func (s snapshotModel) look() string {
	if s.File.IsNull() {
		return snapshotIntact
	}
	local, err := ssh.ExpandHome(s.File.ValueString())
	if err != nil {
		return err.Error()
	}
	file, err := os.Open(local)
	if errors.Is(err, fs.ErrNotExist) {
		return snapshotMissing
	}
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	switch {
	case err != nil:
		return err.Error()
	case hex.EncodeToString(sum.Sum(nil)) != s.SHA256.ValueString():
		return fmt.Sprintf("it has %d bytes and the SHA-256 %x by now", size, sum.Sum(nil))
	}
	return snapshotIntact
}

// compared returns what a plan says of a file that is not as it was written. The plan is refused only if another
// snapshot would replace the file: the state of a file on the planning machine must not keep anybody from repairing the
// cluster. Nothing replaces a changed file by itself, since the new snapshot would hold the cluster as it is now.
func (s snapshotModel) compared(overwrites bool) (diags diag.Diagnostics) {
	const another = "To have another taken, of the cluster as it is now, change triggers."
	file := path.Root("file")
	switch status := s.Status.ValueString(); {
	case s.File.IsNull() || status == snapshotIntact:
	case status == snapshotMissing:
		diags.AddAttributeWarning(file, "A snapshot is gone, or lies on another machine",
			fmt.Sprintf("%s is not on this machine. It held revision %d, taken at %s. If the file can be brought back, do so. %s", s.File.ValueString(), s.Revision.ValueInt64(), s.TakenAt.ValueString(), another))
	case overwrites:
		diags.AddAttributeError(file, "This is not the snapshot that was taken",
			fmt.Sprintf("%s: %s. It is not overwritten: move it away, and plan again.", s.File.ValueString(), status))
	default:
		diags.AddAttributeWarning(file, "This is not the snapshot that was taken",
			fmt.Sprintf("%s: %s. It is left as it is. Where it is not wanted, move it away. %s", s.File.ValueString(), status, another))
	}
	return diags
}

// remove deletes the file if the configuration wants that. For the destroy half of a replacement (planned is false),
// remove renames the file, to keep it.
func (s snapshotModel) remove(planned bool) error {
	if s.File.IsNull() || planned && !s.Purge.ValueBool() || s.look() == snapshotMissing {
		return nil
	}
	local, err := ssh.ExpandHome(s.File.ValueString())
	if err != nil {
		return err
	}
	if !planned {
		return os.Rename(local, fmt.Sprintf("%s.%d-%.12s", local, s.Revision.ValueInt64(), s.SHA256.ValueString()))
	}
	if status := s.look(); status != snapshotIntact {
		return fmt.Errorf("%s: %s. It is not the snapshot that was taken: delete it yourself, if it is to go", s.File.ValueString(), status)
	}
	return os.Remove(local)
}

// wantsAnother tells whether the plan takes another snapshot.
func (s snapshotModel) wantsAnother(state snapshotModel) bool {
	return !s.Triggers.Equal(state.Triggers) || !s.File.Equal(state.File) || !sameIn(s.S3, state.S3, "endpoint", "bucket", "key") || !sameIn(s.Cluster, state.Cluster, "name", "owner")
}

// sameIn tells whether two objects agree in these attributes, or both are null.
func sameIn(a, b types.Object, names ...string) bool {
	if a.IsNull() || b.IsNull() || a.IsUnknown() {
		return a.IsNull() && b.IsNull()
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !a.Attributes()[name].Equal(b.Attributes()[name]) })
}

// leftBehind says where the earlier snapshot lies, if the new one is elsewhere.
func (s snapshotModel) leftBehind(plan snapshotModel) string {
	if s.SHA256.Equal(plan.SHA256) || s.File.Equal(plan.File) && sameIn(s.S3, plan.S3, "endpoint", "bucket", "key") {
		return ""
	}
	where := s.File.String()
	if !s.S3.IsNull() {
		where = fmt.Sprintf("object %s in bucket %s", s.S3.Attributes()["key"], s.S3.Attributes()["bucket"])
	}
	return fmt.Sprintf("%s (revision %d) is no longer managed. Delete it yourself, if it is to go.", where, s.Revision.ValueInt64())
}

// notTaken leaves what only a taken snapshot has to the apply.
func (s *snapshotModel) notTaken() {
	s.Status = types.StringValue(snapshotIntact)
	s.Revision, s.Keys, s.Size, s.Hash = types.Int64Unknown(), types.Int64Unknown(), types.Int64Unknown(), types.Int64Unknown()
	s.SHA256, s.EtcdVersion, s.ClusterID, s.Member, s.TakenAt = types.StringUnknown(), types.StringUnknown(), types.StringUnknown(), types.StringUnknown(), types.StringUnknown()
}

// keep takes over what the state knows of the snapshot, and of its file.
func (s *snapshotModel) keep(state snapshotModel) {
	s.Status = state.Status
	s.Revision, s.Keys, s.Size, s.Hash = state.Revision, state.Keys, state.Size, state.Hash
	s.SHA256, s.EtcdVersion, s.ClusterID, s.Member, s.TakenAt = state.SHA256, state.EtcdVersion, state.ClusterID, state.Member, state.TakenAt
}

// taken fills in what is known of a snapshot that was just taken.
func (s *snapshotModel) taken(saved api.Saved) {
	s.Status = types.StringValue(snapshotIntact)
	s.Revision, s.Keys, s.Size, s.Hash = types.Int64Value(saved.Revision), types.Int64Value(int64(saved.Keys)), types.Int64Value(saved.SizeBytes), types.Int64Value(int64(saved.Hash))
	s.SHA256, s.EtcdVersion, s.ClusterID = types.StringValue(saved.SHA256), types.StringValue(saved.Etcd), types.StringValue(saved.ClusterID)
	s.TakenAt = types.StringValue(saved.TakenAt.UTC().Format(time.RFC3339))
}
