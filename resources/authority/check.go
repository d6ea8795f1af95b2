package authority

import (
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// MustShow refuses to plan for a cluster that is there, and trusts these authorities, where the plan cannot show which ones it is to have:
// an apply would exchange authorities that nobody has seen. Which authority is trusted in addition may be left to the apply, as
// long as all that are trusted by now are known to stay.
func (a Model) MustShow(peersBefore, clientsBefore string) (diags diag.Diagnostics) {
	for _, kind := range []struct{ key, name, before string }{{api.KeyPeer, "peer", peersBefore}, {api.KeyServer, "client", clientsBefore}} {
		authorities := a.of(kind.key)
		diags.Append(authorities[0].MustShow(kind.name)...)
		if len(authorities) > 1 && !diags.HasError() && !stays(kind.before, authorities) {
			diags.Append(authorities[1].MustShow("trusted." + kind.name)...)
		}
	}
	return diags
}

// stays tells whether all authorities of a bundle are among some others, as far as those are known.
func stays(bundle string, among []KeyPair) bool {
	before, err := cert.Parse([]byte(bundle))
	if err != nil {
		return false
	}
	for _, authority := range before {
		if !slices.ContainsFunc(among, func(k KeyPair) bool {
			is, err := cert.ParseLeaf([]byte(k.Certificate.ValueString()))
			return err == nil && is.Equal(authority)
		}) {
			return false
		}
	}
	return true
}

// MustShow refuses to plan for what lives from an authority already, where the plan cannot show which one it is to have. The authority
// is named as it stands in pki.
func (k KeyPair) MustShow(name string) (diags diag.Diagnostics) {
	if k.Certificate.IsUnknown() {
		diags.AddAttributeError(path.Root("pki"), "The authority has to be known at plan time",
			"The certificate of pki."+name+" is known after apply. If it turned out to be another one, the apply would exchange the authority, and whoever approves the plan has to see that. "+
				"Apply what it comes from first (terraform apply -target=...), and plan again. Where an etcd_pki would be made although the authorities exist, since the state was lost, import it instead. Nothing was changed.")
	}
	return diags
}
