package resources

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// certificateModel is etcd_certificate as Terraform has it.
type certificateModel struct {
	PKI               types.Object `tfsdk:"pki"` // write-only: null but in a configuration
	CommonName        types.String `tfsdk:"common_name"`
	Organization      types.List   `tfsdk:"organization"`
	Validity          types.String `tfsdk:"validity"`
	RenewBefore       types.String `tfsdk:"renew_before"`
	PrivateKeyFile    types.String `tfsdk:"private_key_file"`
	CSR               types.String `tfsdk:"csr_pem"`
	Algorithm         types.String `tfsdk:"algorithm"`
	CertificateFile   types.String `tfsdk:"certificate_file"`
	CACertificateFile types.String `tfsdk:"ca_certificate_file"`

	Certificate   types.String `tfsdk:"certificate_pem"`
	CACertificate types.String `tfsdk:"ca_certificate_pem"`
	NotAfter      types.String `tfsdk:"not_after"`
	SerialNumber  types.String `tfsdk:"serial_number"`
	RenewalDue    types.String `tfsdk:"renewal_due"`
}

// check refuses what does not fit together, as far as it is known.
func (c certificateModel) check() (diags diag.Diagnostics) {
	validity, err := time.ParseDuration(c.Validity.ValueString())
	before, errBefore := time.ParseDuration(c.RenewBefore.ValueString())
	if err == nil && errBefore == nil && before >= validity {
		diags.AddAttributeError(path.Root("renew_before"), "The certificate would always be about to expire",
			fmt.Sprintf("renew_before is %s and validity %s: set a renew_before that is shorter.", c.RenewBefore.ValueString(), c.Validity.ValueString()))
	}
	diags.Append(c.checkPlaces()...)
	return diags
}

// checkPlaces refuses two files at one place, of which the second would take that of the first.
func (c certificateModel) checkPlaces() (diags diag.Diagnostics) {
	taken := map[string]string{}
	for _, file := range []struct {
		attribute string
		path      types.String
	}{{"private_key_file", c.PrivateKeyFile}, {"certificate_file", c.CertificateFile}, {"ca_certificate_file", c.CACertificateFile}} {
		if file.path.ValueString() == "" {
			continue
		}
		place, err := placeOf(file.path.ValueString())
		if err != nil {
			diags.AddAttributeError(path.Root(file.attribute), "This is no path", err.Error())
			continue
		}
		if other := taken[place]; other != "" {
			diags.AddAttributeError(path.Root(file.attribute), "Two files at one place",
				fmt.Sprintf("%s and %s are both %s: one would overwrite the other. Name a file of its own for each.", other, file.attribute, place))
		}
		taken[place] = file.attribute
	}
	return diags
}

// plan fills in what becomes of the certificate: where a new one is to be issued, what only that one
// will say is unknown. state is nil where there is none yet.
func (c *certificateModel) plan(authority authorityModel, state *certificateModel) {
	ca := authority.Client.Certificate
	if state != nil && !c.reissues(ca, *state) {
		c.Certificate, c.CACertificate, c.NotAfter = state.Certificate, state.CACertificate, state.NotAfter
		c.SerialNumber, c.RenewalDue = state.SerialNumber, state.RenewalDue
		return
	}
	c.CACertificate = ca
	c.Certificate, c.NotAfter, c.SerialNumber = types.StringUnknown(), types.StringUnknown(), types.StringUnknown()
	c.RenewalDue = types.StringNull()
}

// reissues tells whether the certificate that is there says anything but what is desired, or is due.
func (c certificateModel) reissues(ca types.String, state certificateModel) bool {
	return !state.RenewalDue.IsNull() ||
		!ca.Equal(state.CACertificate) ||
		!c.CommonName.Equal(state.CommonName) ||
		!c.Organization.Equal(state.Organization) ||
		!c.Validity.Equal(state.Validity) ||
		!c.CSR.Equal(state.CSR) ||
		!c.PrivateKeyFile.Equal(state.PrivateKeyFile)
}

// due says why the certificate has to be issued anew; empty: it need not be.
func (c certificateModel) due(now time.Time) string {
	info, err := cert.Inspect([]byte(c.Certificate.ValueString()))
	if err != nil {
		return err.Error()
	}
	before, _ := time.ParseDuration(c.RenewBefore.ValueString()) // its validator has parsed it
	if pki.NeedsRenewal(info, now, before) {
		return fmt.Sprintf("it expires %s", c.NotAfter.ValueString())
	}
	if file := c.PrivateKeyFile.ValueString(); file != "" {
		key, err := readKey(file)
		if err != nil {
			return fmt.Sprintf("private_key_file cannot be used: %s", err)
		}
		if !belongs(c.Certificate.ValueString(), key) {
			return "private_key_file holds the key of another certificate"
		}
	}
	if file := c.CertificateFile.ValueString(); file != "" && !holds(file, c.Certificate.ValueString()) {
		return "certificate_file does not hold it"
	}
	if file := c.CACertificateFile.ValueString(); file != "" && !holds(file, c.CACertificate.ValueString()) {
		return "ca_certificate_file does not hold the authority's certificate"
	}
	return ""
}

// organizations are the organizations of a subject.
func organizations(ctx context.Context, list types.List) (names []string, diags diag.Diagnostics) {
	if !list.IsNull() {
		diags = list.ElementsAs(ctx, &names, false)
	}
	return names, diags
}
