package certificates

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/private"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

// notOverwritten is the summary of a refusal to overwrite a file.
const notOverwritten = "A file holds something else than a certificate of this authority"

// keyMadeAt is the key of private state under which a resource notes the private key file that it has made. A key that
// it has found there is not noted.
const keyMadeAt = "key_made_at"

// issue has the certificate signed, and writes it into the model and to its files. state is nil if there is none yet.
func (r *certificateResource) issue(ctx context.Context, object types.Object, plan, state *certificateModel, written earlier, private private.State) diag.Diagnostics {
	authority, diags := authority.ClientFrom(ctx, object)
	want, d := requestOf(ctx, plan.CommonName, plan.Organization, plan.AlternativeNames, plan.Usages, plan.Validity)
	diags.Append(d...)
	if diags.HasError() {
		return diags
	}
	clients, err := authority.Client.Parse(r.providerData.Now())
	if err != nil {
		diags.AddAttributeError(path.Root("pki"), "The authority cannot sign", err.Error())
		return diags
	}
	if err := plan.refuseOverwriting(authority.Bundle().ValueString(), written); err != nil {
		diags.AddError(notOverwritten, err.Error()+"\n\nNo file was changed.")
		return diags
	}
	noted, d := keyMade(ctx, private)
	if diags.Append(d...); diags.HasError() {
		return diags
	}
	own := func(key crypto.Signer) bool {
		return state != nil && noted == plan.PrivateKeyFile.ValueString() && belongs(state.Certificate.ValueString(), key)
	}
	certificate, source, err := r.sign(ctx, clients, want, *plan, own)
	switch {
	case err != nil:
		diags.AddError("The certificate was not issued", err.Error())
		return diags
	case source == newKey:
		diags.Append(noteKeyMade(ctx, private, plan.PrivateKeyFile.ValueString())...)
	case source == foundKey && noted == plan.PrivateKeyFile.ValueString(): // somebody has put another one in its place
		diags.Append(private.SetKey(ctx, keyMadeAt, nil)...)
	}
	info, err := cert.Inspect(certificate)
	if err != nil {
		diags.AddError("The certificate was not issued", err.Error())
		return diags
	}
	plan.Certificate, plan.CACertificate = types.StringValue(string(certificate)), authority.Bundle()
	plan.NotAfter = types.StringValue(info.NotAfter.UTC().Format(time.RFC3339))
	plan.SerialNumber = types.StringValue(info.SerialNumber)
	if err := plan.writeFiles(written); err != nil {
		diags.AddError("The certificate was not written", err.Error())
	}
	return diags
}

// Values of usages, as Terraform's users know them from other providers.
const (
	clientAuth = "client_auth"
	serverAuth = "server_auth"
)

// usagesOf returns usages with the default in place of null.
func usagesOf(usages types.Set) types.Set {
	if usages.IsNull() {
		return types.SetValueMust(types.StringType, []attr.Value{types.StringValue(clientAuth)})
	}
	return usages
}

// requestOf returns what a certificate is to say.
func requestOf(ctx context.Context, commonName types.String, organization types.List, names, usages types.Set, validity types.String) (pki.Request, diag.Diagnostics) {
	lifetime, _ := time.ParseDuration(validity.ValueString()) // its validator has parsed it
	want := pki.Request{Profile: pki.Client, CommonName: commonName.ValueString(), Lifetime: lifetime}
	var diags diag.Diagnostics
	if !organization.IsNull() {
		diags = organization.ElementsAs(ctx, &want.Organization, false)
	}
	for _, name := range value.Texts(names) {
		if ip, err := netip.ParseAddr(name); err == nil {
			want.IPs = append(want.IPs, ip)
		} else {
			want.DNSNames = append(want.DNSNames, name)
		}
	}
	if slices.Contains(value.Texts(usages), serverAuth) {
		want.Profile = pki.Server
	}
	return want, diags
}

// refuseNames refuses a plan that issues a certificate whose names the constraints of the authority, or of one above
// it, do not permit, as far as names and authority are known.
func (c certificateModel) refuseNames(ctx context.Context, by authority.ClientModel) (diags diag.Diagnostics) {
	if !c.Certificate.IsUnknown() || !value.Known(ctx, c.AlternativeNames) {
		return nil
	}
	want, diags := requestOf(ctx, c.CommonName, types.ListNull(types.StringType), c.AlternativeNames, c.Usages, c.Validity)
	if err := by.Permits(want); err != nil {
		diags.AddAttributeError(path.Root("alternative_names"), "The authority does not permit these names", err.Error()+". No file was changed.")
	}
	return diags
}

// connects wants usages by which the certificate can be used to connect to members.
type connects struct{}

func (connects) Description(context.Context) string         { return "must have " + clientAuth }
func (connects) MarkdownDescription(context.Context) string { return "must have `" + clientAuth + "`" }

// ValidateSet checks usages that are known.
func (connects) ValidateSet(ctx context.Context, req validator.SetRequest, resp *validator.SetResponse) {
	if req.ConfigValue.IsNull() || !value.Known(ctx, req.ConfigValue) || slices.Contains(value.Texts(req.ConfigValue), clientAuth) {
		return
	}
	resp.Diagnostics.AddAttributeError(req.Path, "The certificate could not connect to members",
		fmt.Sprintf("usages has to have %q: the authority for clients signs no certificate that is for servers alone.", clientAuth))
}

// keySource says where a certified key comes from.
type keySource int

const (
	foundKey keySource = iota // it was there, or a request is for it
	keptKey                   // the resource made it earlier
	newKey                    // the resource has just made it
)

// sign certifies the key of the given request, or the key in private_key_file. If that file does not exist, or holds
// the resource's own key of another algorithm than is desired, sign makes a key.
func (r *certificateResource) sign(ctx context.Context, clients *pki.Authority, want pki.Request, plan certificateModel, own func(crypto.Signer) bool) (certificate []byte, source keySource, err error) {
	now, file := r.providerData.Now(), plan.PrivateKeyFile.ValueString()
	if file == "" {
		certificate, err = clients.SignRequest(ctx, []byte(plan.CSR.ValueString()), want, now)
		return certificate, foundKey, err
	}
	renews := plan.PlannedChange.ValueString() == purposeRenewal
	key, err := readKey(file)
	if err == nil && own(key) {
		source = keptKey
	}
	switch rekeys := source == keptKey && !renews && algorithmOf(key) != plan.Algorithm.ValueString(); {
	case errors.Is(err, fs.ErrNotExist) && renews:
		return nil, foundKey, fmt.Errorf("private_key_file: %s was there when this was planned, and is not by now: no other key is made for what was to be a renewal. Plan again, on the machine that has the key", file)
	case errors.Is(err, fs.ErrNotExist), rekeys:
		leaf, err := clients.NewLeaf(ctx, want, pki.Algorithm(plan.Algorithm.ValueString()), now)
		if err != nil {
			return nil, foundKey, err
		}
		text, err := leaf.PrivateKeyPEM()
		if err != nil {
			return nil, foundKey, err
		}
		place := os.Link // a file that has come meanwhile stays
		if rekeys {
			place = os.Rename
		}
		return leaf.CertificatePEM(), newKey, writeFile(file, string(text), 0o600, place)
	case err != nil:
		return nil, foundKey, fmt.Errorf("private_key_file: %w", err)
	}
	request, err := requestFor(key, r.providerData.Random)
	if err != nil {
		return nil, source, err
	}
	certificate, err = clients.SignRequest(ctx, request, want, now)
	return certificate, source, err
}

// certificates returns the content of each file that the resource writes.
func (c certificateModel) certificates() map[string]string {
	files := map[string]string{}
	for file, content := range map[types.String]types.String{c.CertificateFile: c.Certificate, c.CACertificateFile: c.CACertificate} {
		if file.ValueString() != "" {
			files[file.ValueString()] = content.ValueString()
		}
	}
	return files
}

// writeFiles writes the certificates to their files. It looks at each file right before it writes: the key that was
// just made may lie there, under a path that no plan could recognise.
func (c certificateModel) writeFiles(written earlier) error {
	var failures []error
	for file, content := range c.certificates() {
		if holds(file, content) {
			continue
		}
		if err := written.overwritable(file, c.CACertificate.ValueString()); err != nil {
			failures = append(failures, fmt.Errorf("%s is not overwritten: %w", file, err))
			continue
		}
		failures = append(failures, writeFile(file, content, 0o644, os.Rename))
	}
	return errors.Join(failures...)
}

// removeFiles deletes the certificate's file, and leaves the authority's file to other resources that name it. Files
// that next names too stay.
func (c certificateModel) removeFiles(next certificateModel, authorities *providerdata.AuthorityFiles) error {
	kept := next.files()
	if file := c.CACertificateFile.ValueString(); file != "" && !kept[file] {
		authorities.Leave(file)
	}
	if file := c.CertificateFile.ValueString(); file != "" && !kept[file] {
		return removeIfHolds(file, c.Certificate.ValueString())
	}
	return nil
}

// warnLeft warns of files that could not be deleted. The operation succeeds all the same.
func warnLeft(err error) (diags diag.Diagnostics) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		diags.AddWarning("A file was left behind", err.Error())
	}
	return diags
}

// noteKeyMade notes that this resource has made the private key in a file.
func noteKeyMade(ctx context.Context, private private.State, file string) diag.Diagnostics {
	encoded, err := json.Marshal(file)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("The path of the private key cannot be kept", fmt.Sprintf("%q: %s", file, err))}
	}
	return private.SetKey(ctx, keyMadeAt, encoded)
}

// keyMade returns the private key file that this resource has made, or "".
func keyMade(ctx context.Context, private private.State) (file string, diags diag.Diagnostics) {
	encoded, diags := private.GetKey(ctx, keyMadeAt)
	if len(encoded) > 0 {
		if err := json.Unmarshal(encoded, &file); err != nil {
			diags.AddError("The private state cannot be read", err.Error())
		}
	}
	return file, diags
}
