package authority

import (
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// MustShow refuses to plan for a cluster that is there, and trusts these authorities, where the plan cannot show which ones it is to have:
// an apply would exchange authorities that nobody has seen. Which authority is trusted in addition may be left to the apply, as
// long as all that are trusted by now are known to stay.
func (a Model) MustShow(peersBefore, clientsBefore string) diag.Diagnostics {
	var hidden []string
	for _, kind := range []struct{ key, name, before string }{{api.KeyPeer, "peer", peersBefore}, {api.KeyServer, "client", clientsBefore}} {
		authorities := a.of(kind.key)
		switch {
		case authorities[0].Certificate.IsUnknown():
			hidden = append(hidden, "pki."+kind.name)
		case len(authorities) > 1 && authorities[1].Certificate.IsUnknown() && !stays(kind.before, authorities):
			hidden = append(hidden, "pki.trusted."+kind.name)
		}
	}
	return mustShow(hidden)
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

// MustShow refuses to plan for a certificate that is there, where the plan cannot show which authority it is to be of.
func (k KeyPair) MustShow() diag.Diagnostics {
	if k.Certificate.IsUnknown() {
		return mustShow([]string{"pki.client"})
	}
	return nil
}

// mustShow refuses a plan that cannot show these authorities.
func mustShow(hidden []string) (diags diag.Diagnostics) {
	if len(hidden) > 0 {
		diags.AddAttributeError(path.Root("pki"), "The authority has to be known at plan time",
			"The certificate of "+strings.Join(hidden, " and of ")+" is known after apply. If it turned out to be another one, the apply would exchange the authority, and whoever approves the plan has to see that. "+
				"Apply what it comes from first (terraform apply -target=...), and plan again. Where an etcd_pki is planned to be made although its authorities exist, import it (its state was lost) or untaint it (terraform untaint) instead. Nothing was changed.")
	}
	return diags
}
