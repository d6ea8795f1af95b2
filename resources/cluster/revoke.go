package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// revokesOthers tells whether members that look at a list of revoked certificates are to have one of other
// certificates. Each member that has it is worth having, so a change of it does not wait for the members that cannot be
// given it.
func (ch change) revokesOthers(state clusterModel) bool {
	is, was := ch.cluster.ClientCRL, state.cluster(ch.before).ClientCRL
	return is != "" && was != "" && !cert.SameRevocationList(is, was)
}

// checkRevocations refuses what is no list of revoked certificates. Plans ask it, and no validation: a test of
// Terraform's that mocks etcd_pki validates whatever text the mock has in its place.
func (c clusterModel) checkRevocations() (diags diag.Diagnostics) {
	if c.ClientCRL.IsNull() || c.ClientCRL.IsUnknown() {
		return nil
	}
	if _, err := cert.ParseRevocationList([]byte(c.ClientCRL.ValueString())); err != nil {
		diags.AddAttributeError(path.Root("client_crl"), "This is no list of revoked certificates", fmt.Sprintf("client_crl must be PEM \"X509 CRL\", like etcd_pki.NAME.client_crl: %s. Nothing was changed.", err))
	}
	return diags
}

// warnUnrevoked warns of members that keep the old list of revoked certificates.
func (ch change) warnUnrevoked(state clusterModel) (diags diag.Diagnostics) {
	if !ch.revokesOthers(state) {
		return diags
	}
	var names []string
	for _, s := range ch.plan.End.Members {
		if s.Role != membership.Absent && (!s.Desired || s.State == membership.Unreachable || s.From != "" || s.LacksCertificates()) {
			names = append(names, s.String())
		}
	}
	if len(names) > 0 {
		diags.AddAttributeWarning(path.Root("client_crl"), "Members keep the old list of revoked certificates", fmt.Sprintf("%s. This plan cannot give them the new one: where they serve, "+
			"they let in clients whose certificates it revokes. Bring them back; the next plan that reaches them shows that they lack it, and its apply gives it to them.", strings.Join(names, ", ")))
	}
	return diags
}

// unforeseen returns what a run has left undone, without what may wait: for a list of revoked certificates, that is
// what its plan has warned of.
func (ch change) unforeseen(deferred []*membership.Refusal, state clusterModel) []*membership.Refusal {
	all := ch.asksOfAll(state)
	return slices.DeleteFunc(slices.Clone(deferred), func(left *membership.Refusal) bool {
		return ch.mayWait(left) || !all && slices.ContainsFunc(ch.plan.Deferred, func(r *membership.Refusal) bool { return r.Member == left.Member && r.At == left.At })
	})
}
