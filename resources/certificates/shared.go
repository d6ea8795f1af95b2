package certificates

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

// refuseShared refuses a plan that uses a file which another certificate of this run writes, or makes or deletes as its
// key. Several certificates may write the same authority's certificate to one file. state is nil if there is none.
func (c certificateModel) refuseShared(ctx context.Context, state *certificateModel, private private.State, files *providerdata.Files) (diags diag.Diagnostics) {
	use := providerdata.FileUse{By: c.described(), Asks: fmt.Sprint(c.asked())}
	made := ""
	if state != nil {
		use.ID = state.SerialNumber.ValueString()
		var d diag.Diagnostics
		made, d = keyMade(ctx, private)
		diags.Append(d...)
	}
	for _, file := range []struct {
		attribute string
		path      types.String
		writes    func(place string) bool
		shared    string
	}{
		{"private_key_file", c.PrivateKeyFile, func(place string) bool { return c.PrivateKeyFile.ValueString() == made || isMissing(place) }, ""},
		{"certificate_file", c.CertificateFile, func(string) bool { return true }, ""},
		{"ca_certificate_file", c.CACertificateFile, func(string) bool { return true }, c.CACertificate.ValueString()},
	} {
		text := file.path.ValueString()
		if text == "" || file.attribute == "ca_certificate_file" && c.CACertificate.IsUnknown() {
			continue
		}
		place, err := placeOf(text)
		if err != nil {
			continue // which check says
		}
		use.Place, use.Writes, use.Shared = place, file.writes(place), file.shared
		other := files.Use(use)
		switch {
		case other == nil:
		case other.Goes:
			diags.AddAttributeError(path.Root(file.attribute), "A key would be deleted that another certificate uses", keyGoes(place, *other, use))
		default:
			diags.AddAttributeError(path.Root(file.attribute), "Two certificates have one file",
				fmt.Sprintf("%s of %s is %s, and %s uses the same file: one would take what the other has there. Give each a file of its own. Nothing was changed.", file.attribute, use.By, place, other.By))
		}
	}
	return diags
}

// refuseDestroyed refuses to destroy a certificate together with the key that it has made, if another certificate of
// this run uses that key.
func (c certificateModel) refuseDestroyed(ctx context.Context, private private.State, files *providerdata.Files) (diags diag.Diagnostics) {
	made, diags := keyMade(ctx, private)
	if made == "" || made != c.PrivateKeyFile.ValueString() {
		return diags
	}
	place, err := placeOf(made)
	if err != nil {
		return diags // nothing is deleted there
	}
	use := providerdata.FileUse{Place: place, By: c.described(), ID: c.SerialNumber.ValueString(), Asks: fmt.Sprint(c.asked()), Writes: true, Goes: true}
	if other := files.Use(use); other != nil {
		diags.AddError("A key would be deleted that another certificate uses", keyGoes(place, use, *other))
	}
	return diags
}

// keyGoes returns the refusal to delete a key that another certificate uses.
func keyGoes(place string, goes, stays providerdata.FileUse) string {
	return fmt.Sprintf("%s is to be destroyed, and with it the private key that it has made, %s, which %s uses. If they are one certificate whose resource was renamed, "+
		"add a moved block. If not, give one of them another private_key_file and apply that first. Nothing was changed.", goes.By, place, stays.By)
}

// described names the certificate in texts by its common name, since Terraform tells a provider no resource addresses.
func (c certificateModel) described() string {
	if c.CommonName.ValueString() == "" {
		return "an etcd_certificate"
	}
	return fmt.Sprintf("the etcd_certificate of %q", c.CommonName.ValueString())
}

// isMissing tells whether a file does not exist.
func isMissing(file string) bool {
	local, err := ssh.ExpandHome(file)
	if err == nil {
		_, err = os.Lstat(local)
	}
	return errors.Is(err, fs.ErrNotExist)
}
