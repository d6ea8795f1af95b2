package authority

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// MustShow refuses a plan for an existing cluster that cannot show which authorities the cluster is to have, since the
// apply would exchange authorities unseen. A trusted authority may be unknown if all authorities that the cluster
// trusts now are known to stay.
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

// Wait refuses authorities that have expired or are not valid yet, or that stand below such, and are to sign for a
// cluster that does not trust them already: the apply would fail half way. Wait reads a clock, and only ever refuses.
func (a Model) Wait(now time.Time, peersBefore, clientsBefore string) (diags diag.Diagnostics) {
	for _, kind := range []struct{ key, name, before string }{{api.KeyPeer, "pki.peer", peersBefore}, {api.KeyServer, "pki.client", clientsBefore}} {
		signs := a.of(kind.key)[0]
		if certificate, err := cert.ParseLeaf([]byte(signs.Certificate.ValueString())); err == nil && !contains(kind.before, certificate) {
			diags.Append(signs.wait(now, kind.name)...)
		}
	}
	return diags
}

// MaySign refuses an authority for clients that could not sign now, or that stands below such.
func (c ClientModel) MaySign(now time.Time) diag.Diagnostics { return c.Client.wait(now, "pki.client") }

// wait refuses an authority that could not sign now, or that stands below such. at is its place in the configuration.
func (k KeyPair) wait(now time.Time, at string) (diags diag.Diagnostics) {
	chain := k.chain()
	if len(chain) == 0 {
		return nil
	}
	certificate := chain[0]
	refuse := func(summary, text string) {
		diags.AddAttributeError(path.Root("pki"), summary, fmt.Sprintf("The authority %q (%s) %s Nothing was changed.", certificate.Subject.CommonName, at, text))
	}
	for i, above := range chain[1:] {
		is := fmt.Sprintf("is below %q (certificate %d of its chain), which ", above.Subject.CommonName, i+2)
		switch {
		case now.Before(above.NotBefore):
			refuse("The authority's chain is not valid yet", is+fmt.Sprintf("is valid from %s, and it is %s now: whoever knows only the end of the chain refuses what is signed. Give pki a chain that is valid, plan again when this one is, or set the clock right.",
				above.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)))
		case !now.Before(above.NotAfter):
			refuse("The authority's chain has expired", is+fmt.Sprintf("expired at %s: whoever knows only the end of the chain refuses what is signed. Give pki the chain that it was renewed to (chain of an imported etcd_pki).",
				above.NotAfter.UTC().Format(time.RFC3339)))
		}
	}
	switch {
	case now.Before(certificate.NotBefore):
		refuse("The authority is not valid yet", fmt.Sprintf("is valid from %s, and it is %s now. A running cluster can trust it until then beside the one that it has (pki.trusted); plan again when it is valid, or set the clock right.",
			certificate.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)))
	case !now.Before(certificate.NotAfter):
		refuse("The authority has expired", fmt.Sprintf("expired at %s, so that nothing trusts what it signs. Give pki another one.", certificate.NotAfter.UTC().Format(time.RFC3339)))
	}
	return diags
}

// MaySign refuses authorities that could not sign now, whether the cluster trusts them already or not, unless a trusted
// one beside them can sign in their place.
func (a Model) MaySign(now time.Time) diag.Diagnostics { return a.able(now).Wait(now, "", "") }

// able returns the authorities as they sign at a time: a trusted one that can sign takes the place of one that has
// expired, or one that is not known yet. A rotation begins so where an authority has ended before it was rotated.
func (a Model) able(now time.Time) Model {
	if a.Trusted == nil {
		return a
	}
	trusted := *a.Trusted
	for _, kind := range []struct {
		signs  *KeyPair
		beside **KeyPair
	}{{&a.Peer, &trusted.Peer}, {&a.Client, &trusted.Client}} {
		if next := *kind.beside; next != nil && kind.signs.ended(now) && next.Signs() && !next.wait(now, "").HasError() {
			ended := *kind.signs
			*kind.signs, *kind.beside = *next, &ended
		}
	}
	a.Trusted = &trusted
	return a
}

// ended tells whether an authority has expired, or one that it stands below.
func (k KeyPair) ended(now time.Time) bool {
	return slices.ContainsFunc(k.chain(), func(c *x509.Certificate) bool { return !now.Before(c.NotAfter) })
}

// contains tells whether an authority is in a bundle.
func contains(bundle string, authority *x509.Certificate) bool {
	all, err := cert.Parse([]byte(bundle))
	return err == nil && slices.ContainsFunc(all, authority.Equal)
}

// stays tells whether all authorities of a bundle are among the known ones of others.
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

// MustShow refuses a plan for an existing certificate that cannot show which authority the certificate is to have.
func (c ClientModel) MustShow() diag.Diagnostics {
	if c.Client.Certificate.IsUnknown() {
		return mustShow([]string{"pki.client"})
	}
	return nil
}

// mustShow refuses a plan in which these authorities are hidden.
func mustShow(hidden []string) (diags diag.Diagnostics) {
	if len(hidden) > 0 {
		diags.AddAttributeError(path.Root("pki"), "The authority has to be known at plan time",
			"The certificate of "+strings.Join(hidden, " and of ")+" is known after apply. If it turned out to be another one, the apply would exchange the authority, and whoever approves the plan has to see that. "+
				"Apply what it comes from first (terraform apply -target=...), and plan again. Where an etcd_pki is planned to be made although its authorities exist, import it (its state was lost) or untaint it (terraform untaint) instead. Nothing was changed.")
	}
	return diags
}

// RefuseEphemeral refuses authorities that an ephemeral etcd_pki of this run has made. The apply makes others and would
// contradict its plan, and no later run could sign by them.
func (a Model) RefuseEphemeral(made func(name string) bool) diag.Diagnostics {
	return refuseEphemeral(made, certificates(append(a.of(api.KeyPeer), a.of(api.KeyServer)...)))
}

// RefuseEphemeral refuses an authority for clients that an ephemeral etcd_pki of this run has made.
func (c ClientModel) RefuseEphemeral(made func(name string) bool) diag.Diagnostics {
	return refuseEphemeral(made, []types.String{c.Bundle()})
}

func refuseEphemeral(made func(name string) bool, bundles []types.String) (diags diag.Diagnostics) {
	for _, bundle := range bundles {
		all, _ := cert.Parse([]byte(bundle.ValueString())) // Check says what is wrong with it
		for _, authority := range all {
			if !made(cert.Name(authority)) {
				continue
			}
			diags.AddAttributeError(path.Root("pki"), "Nobody has kept this authority", fmt.Sprintf("The ephemeral etcd_pki has made the authority %q in this very run, and each run, the apply of this plan too, makes others. "+
				"Write what it makes to a vault, through a write-only attribute, and apply that; then give pki what an ephemeral resource reads from the vault. Where the vault has it by now, apply again. "+
				"Or use the resource etcd_pki, which keeps its authorities in the state. Nothing was changed.", authority.Subject.CommonName))
			return diags
		}
	}
	return nil
}
