// Package renewal has the attribute that says how long members' certificates are valid, and when they are renewed.
package renewal

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/validate"
)

// Name is the name of the attribute.
const Name = "certificates"

// Names of the attributes in it.
const (
	validity    = "validity"
	renewBefore = "renew_before"
)

// Attribute returns the attribute.
func Attribute() schema.SingleNestedAttribute {
	return schema.SingleNestedAttribute{
		Optional:            true,
		MarkdownDescription: "How long members' own certificates are valid, and when they are renewed: by an apply, with new keys that are made on the hosts, one member after another, and without a restart.",
		Attributes: map[string]schema.Attribute{
			validity: schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "How long a certificate is valid, as a duration like `2160h`: at least 10m. No certificate outlives its authority: one that would ends with it. " +
					"If certificates are valid for longer than a changed value, the apply renews them; a longer value counts from the next renewal on. Default: `8760h` (a year).",
				Validators: []validator.String{validate.Lifetime},
			},
			renewBefore: schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "How long before the certificate's end the next apply renews it, as a duration shorter than `validity`. Plan at least once in this time. " +
					"A change counts from the plan after its apply on. Default: in the last third of its life.",
				Validators: []validator.String{validate.Duration},
			},
		},
	}
}

// Type is the type of its value.
func Type() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{validity: types.StringType, renewBefore: types.StringType}}
}

// Of reads the attribute's value. What is not set, or not known yet, is zero.
func Of(object types.Object) bootstrap.Renewal {
	return bootstrap.Renewal{Before: duration(object, renewBefore), Validity: duration(object, validity)}
}

// duration reads one duration; its validator has refused any other text.
func duration(object types.Object, name string) time.Duration {
	text, _ := object.Attributes()[name].(types.String)
	d, _ := time.ParseDuration(text.ValueString())
	return d
}

// Check refuses certificates that would always be about to expire.
func Check(object types.Object) (diags diag.Diagnostics) {
	says := Of(object)
	lasts := says.Validity
	if text, is := object.Attributes()[validity].(types.String); !is || text.IsNull() {
		lasts = pki.DefaultLeafLifetime
	}
	if says.Before > 0 && lasts > 0 && says.Before >= lasts {
		diags.AddAttributeError(path.Root(Name).AtName(renewBefore), "The certificates would always be about to expire",
			fmt.Sprintf("renew_before is %s, and certificates are valid for %s: set a renew_before that is shorter.", says.Before, lasts))
	}
	return diags
}

// CheckAuthorities refuses a validity that the authorities never allow, and warns of one that they no longer allow, or
// that the next signing authority never allows. The bundles are PEM, and begin with the authority that signs;
// CheckAuthorities ignores one that is not known yet. above are the certificates above those that sign.
func CheckAuthorities(object types.Object, peers, clients types.String, above []*x509.Certificate, now time.Time) (diags diag.Diagnostics) {
	lasts := Of(object).Validity
	for _, bundle := range []types.String{peers, clients} {
		all, err := cert.Parse([]byte(bundle.ValueString()))
		if err != nil || lasts == 0 || diags.HasError() || diags.WarningsCount() > 0 {
			continue
		}
		signs := cert.FirstToEnd(append(slices.Clone(above), all[0]))
		at, end := path.Root(Name).AtName(validity), signs.NotAfter.UTC().Format(time.RFC3339)
		switch next := successor(all); {
		case lasts > lifetime(signs):
			diags.AddAttributeError(at, "No certificate outlives its authority",
				fmt.Sprintf("validity is %s, and the authority %q, which expires at %s, was never valid for so long. Set a shorter validity, or give pki another authority.", lasts, signs.Subject.CommonName, end))
		case next != nil && lasts > lifetime(next):
			diags.AddAttributeWarning(at, "No certificate outlives the next authority",
				fmt.Sprintf("validity is %s, and the authority %q, which is trusted already and expires at %s, was never valid for so long: a plan by which it signs is refused. Before that, set a shorter validity here, "+
					"or another one of the authority: cancel the rotation, and begin it with that.", lasts, next.Subject.CommonName, next.NotAfter.UTC().Format(time.RFC3339)))
		case now.Add(lasts).After(signs.NotAfter):
			diags.AddAttributeWarning(at, "Certificates end with their authority",
				fmt.Sprintf("validity is %s, and the authority %q expires at %s: certificates are valid until then. For longer ones, give pki another authority.", lasts, signs.Subject.CommonName, end))
		}
	}
	return diags
}

// lifetime returns how long a certificate is valid after it was signed.
func lifetime(certificate *x509.Certificate) time.Duration {
	return certificate.NotAfter.Sub(cert.Issued(certificate))
}

// successor returns the authority of a bundle that will sign next, which is younger than the one that signs, or nil if
// there is none.
func successor(bundle []*x509.Certificate) *x509.Certificate {
	for _, other := range bundle[1:] {
		if other.NotBefore.After(bundle[0].NotBefore) {
			return other
		}
	}
	return nil
}
