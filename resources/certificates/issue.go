package certificates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"time"

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

// issue has the certificate signed, and writes it into the model and to its files.
func (r *certificateResource) issue(ctx context.Context, object types.Object, plan *certificateModel, written earlier, private private.State) diag.Diagnostics {
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
	certificate, made, err := r.sign(ctx, clients, want, *plan)
	if err != nil {
		diags.AddError("The certificate was not issued", err.Error())
		return diags
	}
	if made {
		diags.Append(noteKeyMade(ctx, private, plan.PrivateKeyFile.ValueString())...)
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

// sign certifies the key of the given request, or the key in private_key_file. If that file does not exist, sign makes
// a key, and made is true.
func (r *certificateResource) sign(ctx context.Context, clients *pki.Authority, want pki.Request, plan certificateModel) (certificate []byte, made bool, err error) {
	now, file := r.providerData.Now(), plan.PrivateKeyFile.ValueString()
	if file == "" {
		certificate, err = clients.SignRequest(ctx, []byte(plan.CSR.ValueString()), want, now)
		return certificate, false, err
	}
	key, err := readKey(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && plan.PlannedChange.ValueString() == purposeRenewal:
		return nil, false, fmt.Errorf("private_key_file: %s was there when this was planned, and is not by now: no other key is made for what was to be a renewal. Plan again, on the machine that has the key", file)
	case errors.Is(err, fs.ErrNotExist):
		leaf, err := clients.NewLeaf(ctx, want, pki.Algorithm(plan.Algorithm.ValueString()), now)
		if err != nil {
			return nil, false, err
		}
		text, err := leaf.PrivateKeyPEM()
		if err != nil {
			return nil, false, err
		}
		return leaf.CertificatePEM(), true, writeFile(file, string(text), 0o600, os.Link)
	case err != nil:
		return nil, false, fmt.Errorf("private_key_file: %w", err)
	}
	request, err := requestFor(key, r.providerData.Random)
	if err != nil {
		return nil, false, err
	}
	certificate, err = clients.SignRequest(ctx, request, want, now)
	return certificate, false, err
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
