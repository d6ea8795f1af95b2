package certificates

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

// certificateModel holds etcd_certificate as Terraform sees it.
type certificateModel struct {
	PKI               types.Object `tfsdk:"pki"` // write-only: null but in a configuration
	CommonName        types.String `tfsdk:"common_name"`
	Organization      types.List   `tfsdk:"organization"`
	AlternativeNames  types.Set    `tfsdk:"alternative_names"`
	Usages            types.Set    `tfsdk:"usages"`
	Validity          types.String `tfsdk:"validity"`
	RenewBefore       types.String `tfsdk:"renew_before"`
	PrivateKeyFile    types.String `tfsdk:"private_key_file"`
	CSR               types.String `tfsdk:"csr"`
	Algorithm         types.String `tfsdk:"algorithm"`
	CertificateFile   types.String `tfsdk:"certificate_file"`
	CACertificateFile types.String `tfsdk:"ca_certificate_file"`

	Certificate   types.String `tfsdk:"certificate"`
	CACertificate types.String `tfsdk:"ca_certificate"`
	NotAfter      types.String `tfsdk:"expires_at"`
	SerialNumber  types.String `tfsdk:"serial_number"`
	RenewalDue    types.String `tfsdk:"renewal_due"`
	PlannedChange types.String `tfsdk:"planned_change"`
}

// Values of planned_change.
const (
	purposeNone   = "none"
	purposeCreate = "create"
	// purposeRenewal: the certificate is about to expire, and nothing else is wrong. The same key gets another
	// certificate.
	purposeRenewal = "renewal"
	purposeReissue = "reissue" // a file is gone or holds something else; if it is the key's, another key is made
	purposeChange  = "change"  // the configuration asks for something else
)

// check refuses known values that contradict each other.
func (c certificateModel) check() (diags diag.Diagnostics) {
	validity, err := time.ParseDuration(c.Validity.ValueString())
	before, errBefore := time.ParseDuration(c.RenewBefore.ValueString())
	if err == nil && errBefore == nil && before >= validity {
		diags.AddAttributeError(path.Root("renew_before"), "The certificate would always be about to expire",
			fmt.Sprintf("renew_before is %s and validity %s: set a renew_before that is shorter.", c.RenewBefore.ValueString(), c.Validity.ValueString()))
	}
	diags.Append(c.checkPlaces()...)
	if file := c.PrivateKeyFile.ValueString(); file != "" {
		// Whoever issues a certificate by the key finds other faults.
		if _, err := ownKey(file); errors.Is(err, errOpenKey) {
			diags.Append(refuseKey(err)...)
		}
	}
	return diags
}

// checkPlaces refuses two attributes that name one file: the second write would replace the first.
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
			diags.AddAttributeError(path.Root(file.attribute), "This is not a valid path", err.Error())
			continue
		}
		if other := taken[place]; other != "" {
			diags.AddAttributeError(path.Root(file.attribute), "Two files have one path",
				fmt.Sprintf("%s and %s are both %s: one would overwrite the other. Name a file of its own for each.", other, file.attribute, place))
		}
		taken[place] = file.attribute
	}
	return diags
}

// plan fills in what the plan knows of the certificate. If a new certificate is needed, everything that only this one
// will say is unknown. state is nil if there is none yet; looked is the time of the last refresh; rekeys tells that the
// key has to be another one.
func (c *certificateModel) plan(ctx context.Context, by authority.ClientModel, state *certificateModel, looked time.Time, rekeys bool) {
	c.CACertificate = by.Bundle()
	c.PlannedChange = c.purpose(ctx, c.CACertificate, state)
	if state != nil && c.agreesWithKey(*state) {
		agreed := *state
		agreed.RenewalDue, state = types.StringNull(), &agreed
	}
	if state != nil && authority.Same(c.CACertificate, state.CACertificate) {
		c.CACertificate = state.CACertificate
	}
	if rekeys && c.PlannedChange.ValueString() == purposeNone { // no refresh has looked at the key
		c.PlannedChange = types.StringValue(purposeReissue)
	}
	stays := state != nil && (c.waits(by, *state, looked) || !rekeys && !c.reissues(by.Client.Certificate, *state, looked))
	// The authorities above have changed.
	if state != nil && !by.Follow(state.Certificate).Equal(state.Certificate) {
		c.PlannedChange = types.StringValue(purposeChange)
	}
	if stays {
		c.Certificate, c.NotAfter = by.Follow(state.Certificate), state.NotAfter
		c.SerialNumber, c.RenewalDue = state.SerialNumber, state.RenewalDue
		return
	}
	c.Certificate, c.NotAfter, c.SerialNumber = types.StringUnknown(), types.StringUnknown(), types.StringUnknown()
	c.RenewalDue = types.StringNull()
}

// waits tells whether a certificate that is due, or whose key is of another algorithm, stays: the configuration leaves
// out the authority's key, the certificate was valid at the last refresh, and nothing else changes.
func (c certificateModel) waits(by authority.ClientModel, state certificateModel, looked time.Time) bool {
	change := c.PlannedChange.ValueString()
	only := change == purposeRenewal || change == purposeReissue && state.lacksAlgorithm()
	return only && !by.Client.Signs() && authority.Signs(by.Client.Certificate, state.CACertificate) && state.holds(looked)
}

// holds tells whether the certificate was valid at the last refresh.
func (c certificateModel) holds(looked time.Time) bool {
	leaf, err := cert.ParseLeaf([]byte(c.Certificate.ValueString()))
	return err == nil && !looked.IsZero() && looked.Before(leaf.NotAfter)
}

// lastWeek is the time before a certificate's end in which a plan that does not renew the certificate warns by another
// summary, and is not empty.
const lastWeek = 7 * 24 * time.Hour

// inLastWeek tells whether the certificate was in its last week at the last refresh.
func (c certificateModel) inLastWeek(looked time.Time) bool {
	ends, err := time.Parse(time.RFC3339, c.NotAfter.ValueString())
	return err == nil && ends.Sub(looked) <= lastWeek
}

// alert has a plan that leaves a certificate in its last week show a change, though its apply changes nothing, so that
// automation does not take it for one of a certificate that is well.
func (c *certificateModel) alert(by authority.ClientModel, state *certificateModel, looked time.Time) {
	if state != nil && c.waits(by, *state, looked) && state.inLastWeek(looked) {
		c.RenewalDue, c.PlannedChange = types.StringUnknown(), types.StringValue(purposeNone)
	}
}

// checkKey refuses a plan that has to sign by a key which the configuration leaves out. If the certificate can wait,
// checkKey only warns. state is nil if there is none yet.
func (c certificateModel) checkKey(by authority.ClientModel, state *certificateModel, looked time.Time) (diags diag.Diagnostics) {
	const give = "Give pki.client.private_key for it, or pki.client.remote: pki is write-only, so that no state and no plan holds a key."
	switch {
	case by.Client.Signs():
	case c.Certificate.IsUnknown() && state != nil && !state.RenewalDue.IsNull() && !state.holds(looked):
		diags.AddAttributeError(path.Root("pki"), needsKey, fmt.Sprintf("It issues a certificate: the one of %s has expired (%s), or does so within the hour, and lets nobody in.\n\n%s No file was changed.", state.CommonName.ValueString(), state.NotAfter.ValueString(), give))
	case c.Certificate.IsUnknown():
		diags.AddAttributeError(path.Root("pki"), needsKey, "It issues a certificate.\n\n"+give+" No file was changed.")
	case state != nil && c.waits(by, *state, looked) && c.PlannedChange.ValueString() == purposeReissue && !state.inLastWeek(looked):
		diags.AddAttributeWarning(path.Root("algorithm"), fmt.Sprintf("The private key of %s is of another algorithm, and this plan does not replace it", c.CommonName.ValueString()),
			fmt.Sprintf("%s: pki leaves out the key that signs a certificate for another one, so that both stay as they are. %s Or set algorithm to %s.", otherAlgorithm(state.keyAlgorithm(), state.Algorithm.ValueString()), give, state.keyAlgorithm()))
	case state != nil && c.waits(by, *state, looked):
		summary := fmt.Sprintf("The certificate of %s is due, and this plan does not renew it", c.CommonName.ValueString())
		if state.inLastWeek(looked) {
			summary = fmt.Sprintf("The certificate of %s expires within a week", c.CommonName.ValueString())
		}
		diags.AddAttributeWarning(path.Root("pki"), summary, fmt.Sprintf("It holds until %s, and pki leaves out the key that renews it. %s Once it has expired, plans are refused until then.", state.NotAfter.ValueString(), give))
	}
	return diags
}

// needsKey is the summary of a refusal of a plan whose configuration leaves out the key that has to sign.
const needsKey = "This plan needs the key of an authority"

// purpose returns what the plan is for. If the configuration is unchanged, the last refresh has found the purpose. If
// only the apply can tell whether it is unchanged, the purpose is unknown.
func (c certificateModel) purpose(ctx context.Context, ca types.String, state *certificateModel) types.String {
	if state == nil {
		return types.StringValue(purposeCreate)
	}
	if !authority.Same(ca, state.CACertificate) {
		return types.StringValue(purposeChange)
	}
	open := false
	was := state.asked()
	for i, asked := range c.asked() {
		switch {
		case !value.Known(ctx, asked):
			open = true
		case !asked.Equal(was[i]):
			return types.StringValue(purposeChange)
		}
	}
	if open {
		return types.StringUnknown()
	}
	// An apply has left this, and no refresh has looked since.
	if state.PlannedChange.ValueString() == purposeNone && !state.RenewalDue.IsNull() {
		return types.StringValue(purposeRenewal)
	}
	return state.PlannedChange
}

// asked returns all values of the configuration except for write-only ones.
func (c certificateModel) asked() []attr.Value {
	return []attr.Value{c.CommonName, c.Organization, c.AlternativeNames, usagesOf(c.Usages), c.Validity, c.RenewBefore, c.PrivateKeyFile, c.CSR, c.Algorithm, c.CertificateFile, c.CACertificateFile}
}

// reissues tells whether the present certificate has to be replaced: it does not say what is desired, it is due, or
// another authority signs now (the first of those that clients verify members with).
func (c certificateModel) reissues(signs types.String, state certificateModel, looked time.Time) bool {
	return !state.RenewalDue.IsNull() ||
		!authority.Signs(signs, state.CACertificate) ||
		!c.CommonName.Equal(state.CommonName) ||
		!c.Organization.Equal(state.Organization) ||
		!c.AlternativeNames.Equal(state.AlternativeNames) ||
		!usagesOf(c.Usages).Equal(usagesOf(state.Usages)) ||
		!c.Validity.Equal(state.Validity) ||
		!c.CSR.Equal(state.CSR) ||
		!c.PrivateKeyFile.Equal(state.PrivateKeyFile) ||
		c.dueBy(state, looked)
}

// dueBy tells whether a changed renew_before makes the certificate due that the last refresh has seen. Without this
// check, the change would take effect one apply later.
func (c certificateModel) dueBy(state certificateModel, looked time.Time) bool {
	if c.RenewBefore.IsUnknown() || c.RenewBefore.Equal(state.RenewBefore) || looked.IsZero() {
		return false
	}
	state.RenewBefore = c.RenewBefore
	due, ends := state.due(looked)
	return due && !ends
}

// due tells whether the certificate has to be renewed by now. A certificate that ends with its authority, or with one
// above that, is not renewed: the new one would end at the same moment, and no plan would ever be empty.
func (c certificateModel) due(now time.Time) (due, endsWithAuthority bool) {
	leaf, err := cert.ParseLeaf([]byte(c.Certificate.ValueString()))
	if err != nil {
		return false, false
	}
	before, _ := time.ParseDuration(c.RenewBefore.ValueString()) // its validator has parsed it
	bounds := cert.Following(c.Certificate.ValueString())
	if ca, err := cert.ParseLeaf([]byte(c.CACertificate.ValueString())); err == nil {
		bounds = append(bounds, ca)
	}
	return cert.NeedsRenewal(cert.InfoOf(leaf), now, before), len(bounds) > 0 && !leaf.NotAfter.Before(cert.FirstEnd(bounds))
}

// checkEnd refuses a plan that issues a certificate, or lays down a chain, if the authority or one above it is not
// valid now. It warns of a certificate that ends earlier than the configuration says. state is nil if there is none
// yet.
func (c certificateModel) checkEnd(by authority.ClientModel, state *certificateModel, now time.Time) (diags diag.Diagnostics) {
	if state != nil && c.Certificate.Equal(state.Certificate) {
		return nil
	}
	lasts, err := time.ParseDuration(c.Validity.ValueString())
	diags = by.MaySign(now)
	if first := by.FirstToEnd(); err == nil && first != nil && !diags.HasError() && c.Certificate.IsUnknown() && now.Add(lasts).After(first.NotAfter) {
		diags.AddAttributeWarning(path.Root("validity"), fmt.Sprintf("The certificate of %s ends with its authority", c.CommonName.ValueString()),
			fmt.Sprintf("validity is %s, and %q, which signs or stands above that, expires at %s: the certificate is valid until then.", lasts, first.Subject.CommonName, first.NotAfter.UTC().Format(time.RFC3339)))
	}
	return diags
}

// look fills in what the next apply does if the configuration stays as it is, and why. made is the private key file
// that the resource has made, or "".
func (c *certificateModel) look(now time.Time, made string) (diags diag.Diagnostics) {
	c.PlannedChange, c.RenewalDue = types.StringValue(purposeNone), types.StringNull()
	var reasons []string
	_, err := cert.Inspect([]byte(c.Certificate.ValueString()))
	due, ends := c.due(now)
	switch {
	case !due:
	case ends:
		diags.AddAttributeWarning(path.Root("pki"), c.endsWithAuthority(now), fmt.Sprintf("The authority that has signed it, or one above it, expires at %s, and another certificate would end at that moment too: none is issued. "+
			"If that is one above it, give pki the chain that was renewed (chain of an imported etcd_pki). Else rotate the authority (rotation of etcd_pki), or, where it is made elsewhere, give the cluster another one as pki, and then this certificate.", c.NotAfter.ValueString()))
	default:
		reasons, c.PlannedChange = append(reasons, fmt.Sprintf("it expires %s", c.NotAfter.ValueString())), types.StringValue(purposeRenewal)
	}
	// Any other fault is more than a renewal: a missing key is made anew.
	if err != nil {
		reasons, c.PlannedChange = append(reasons, err.Error()), types.StringValue(purposeReissue)
	} else if why := c.lookAtFiles(made); why != "" {
		reasons, c.PlannedChange = append(reasons, why), types.StringValue(purposeReissue)
	}
	if len(reasons) > 0 {
		c.RenewalDue = types.StringValue(strings.Join(reasons, "; "))
	}
	return diags
}

// endsWithAuthority returns a text that says that the certificate ends, or has ended, with its authority.
func (c certificateModel) endsWithAuthority(now time.Time) string {
	ends := "ends"
	if info, err := cert.Inspect([]byte(c.Certificate.ValueString())); err == nil && !now.Before(info.NotAfter) {
		ends = "has ended"
	}
	return fmt.Sprintf("The certificate of %s %s with its authority", c.CommonName.ValueString(), ends)
}

// lookAtFiles returns which file does not hold what it should, or "" if all do.
func (c certificateModel) lookAtFiles(made string) string {
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
	// The algorithm comes last: it counts only if nothing else is at fault, and both can wait for the authority's key.
	if is := c.keyAlgorithm(); made != "" && c.PrivateKeyFile.ValueString() == made && !c.Algorithm.IsNull() && is != c.Algorithm.ValueString() {
		return otherAlgorithm(is, c.Algorithm.ValueString())
	}
	return ""
}
