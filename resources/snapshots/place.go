package snapshots

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"golang.org/x/sys/unix"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

// refusedPlace is the summary of a plan that would write a snapshot where none can be written.
const refusedPlace = "No snapshot can be written there"

// note tells the other plans of this run which file the state describes, if the file is still as it was written.
func (s snapshotModel) note(data *providerdata.Data) {
	local, err := ssh.ExpandHome(s.File.ValueString())
	if data == nil || data.Snapshots == nil || s.File.IsNull() || err != nil {
		return
	}
	sum := ""
	if s.Status.ValueString() == snapshotIntact {
		sum = s.SHA256.ValueString()
	}
	data.Snapshots.Found(local, sum)
}

// mustFit refuses a plan that would write a new file where something is already, or where nothing can be written: the
// apply would find out only once it has changed the cluster.
func (s snapshotModel) mustFit(data *providerdata.Data) diag.Diagnostics {
	diags := s.mustBeWritable()
	local, err := ssh.ExpandHome(s.File.ValueString())
	if s.File.IsNull() || s.File.IsUnknown() || err != nil || diags.HasError() {
		return diags
	}
	if err := mustBeFree(s.File.ValueString(), local); err != nil && !s.replaces(local, data) {
		diags.AddAttributeError(path.Root("file"), refusedPlace, err.Error()+".\n\nIf it is the snapshot of this resource, which is tainted, plan without -refresh=false.")
	}
	return diags
}

// replaces tells whether a file is the snapshot that this resource takes the place of: Terraform plans a replacement as
// if there were no state, and its destroy half renames the file.
func (s snapshotModel) replaces(local string, data *providerdata.Data) bool {
	if data == nil || data.Snapshots == nil {
		return false
	}
	before := snapshotModel{File: s.File}
	if sum := data.Snapshots.SHA256(local); sum != "" {
		before.SHA256 = types.StringValue(sum)
		return before.look() == snapshotIntact
	}
	return false
}

// mustBeWritable refuses a directory that is missing, or that no file can be written to. It writes nothing.
func (s snapshotModel) mustBeWritable() (diags diag.Diagnostics) {
	if s.File.IsNull() || s.File.IsUnknown() {
		return nil
	}
	refuse := func(why string, err error) {
		diags.AddAttributeError(path.Root("file"), refusedPlace, fmt.Sprintf("file is %s, and %s: %s.", s.File, why, err))
	}
	local, err := ssh.ExpandHome(s.File.ValueString())
	if err != nil {
		refuse("its directory is not known", err)
		return diags
	}
	dir := filepath.Dir(local)
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		refuse("its directory has to exist when this is planned", err)
	case !info.IsDir():
		refuse("what should be its directory is none", fmt.Errorf("%s is a file", dir))
	default:
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			refuse("no file can be written to its directory", fmt.Errorf("%s: %w", dir, err))
		}
	}
	return diags
}

// mustBeFree refuses a path at which there is something.
func mustBeFree(file, local string) error {
	switch _, err := os.Lstat(local); {
	case err == nil:
		return fmt.Errorf("file is %q, and there is something there already: move it away, or choose another name", file)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("file is %q, and nobody can tell whether something is there already: %w", file, err)
	}
	return nil
}
