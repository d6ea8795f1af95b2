package certificates

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/rotation"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/value"
)

// revoke signs a new list of revoked certificates if the present one lists others. Plans sign it too, and so can show
// what becomes of the members.
func (p *pkiModel) revoke(ctx context.Context, clients *pki.Authority) (diags diag.Diagnostics) {
	if !value.Known(ctx, p.Revoked) {
		p.ClientCRL = types.StringUnknown()
		return nil
	}
	var serials []*big.Int
	for _, text := range value.Texts(p.Revoked) {
		serial, err := cert.ParseSerial(text)
		if err != nil {
			diags.AddAttributeError(path.Root("revoked"), "This is no serial number", err.Error())
			return diags
		}
		serials = append(serials, serial)
	}
	number := int64(1)
	if before, err := cert.ParseRevocationList([]byte(p.ClientCRL.ValueString())); err == nil {
		// Any authority may have signed it: an earlier one before a rotation.
		if revokes(before.RevokedCertificateEntries, serials) {
			return nil
		}
		number = before.Number.Int64() + 1
	}
	list, err := clients.Revoke(serials, number)
	switch {
	case err == nil:
		p.ClientCRL = types.StringValue(list)
	case len(serials) == 0: // an authority from elsewhere that may sign no lists
		p.ClientCRL = types.StringNull()
	case errors.Is(err, pki.ErrSignsNoLists):
		diags.AddAttributeError(path.Root("revoked"), "The certificates cannot be revoked", err.Error()+fmt.Sprintf(". Take them out of revoked, and rotate the authority for clients (rotation.clients): the new one, which etcd_pki makes, "+
			"signs lists from phase = %q on, so that revoked can be set in that apply. From phase = %q on, no certificate of the present authority is accepted. Nothing was changed.", rotation.Sign, rotation.Retire))
	default:
		diags.AddAttributeError(path.Root("revoked"), "The certificates cannot be revoked", err.Error())
	}
	return diags
}

// revokes tells whether a list has exactly these serial numbers.
func revokes(entries []x509.RevocationListEntry, serials []*big.Int) bool {
	has := func(serial *big.Int) bool {
		return slices.ContainsFunc(entries, func(entry x509.RevocationListEntry) bool { return entry.SerialNumber.Cmp(serial) == 0 })
	}
	wants := func(entry x509.RevocationListEntry) bool {
		return slices.ContainsFunc(serials, func(serial *big.Int) bool { return entry.SerialNumber.Cmp(serial) == 0 })
	}
	return !slices.ContainsFunc(serials, func(serial *big.Int) bool { return !has(serial) }) &&
		!slices.ContainsFunc(entries, func(entry x509.RevocationListEntry) bool { return !wants(entry) })
}

// clients returns the authority for clients that signs. An authority that has expired, or is not valid yet, can still
// sign a list.
func (p pkiModel) clients(ctx context.Context) (*pki.Authority, diag.Diagnostics) {
	pair, diags := authority.PairFrom(ctx, p.ClientAuthority, "client")
	if diags.HasError() {
		return nil, diags
	}
	clients, err := pair.Parse(pair.HoldsFrom())
	if err != nil {
		diags.AddError("The authority for clients cannot be read", err.Error())
	}
	return clients, diags
}

// revokeNow calls revoke with the model's own authority for clients, which is the one that signs after the plan.
func (p *pkiModel) revokeNow(ctx context.Context) diag.Diagnostics {
	clients, diags := p.clients(ctx)
	if !diags.HasError() {
		diags.Append(p.revoke(ctx, clients)...)
	}
	return diags
}
