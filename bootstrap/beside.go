package bootstrap

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// revoked returns which of a member's own certificates the desired list of revoked ones has, or "". A host is the
// client of its member, and would shut itself out.
func (c Cluster) revoked(held map[string]api.Certificate) string {
	list, err := cert.ParseRevocationList([]byte(c.ClientCRL))
	if err != nil {
		return ""
	}
	for _, name := range []string{api.KeyServer, api.KeyAdmin} { // etcd's own gateway is a client by the server's
		if leaf, err := cert.ParseLeaf([]byte(held[name].PEM)); err == nil && cert.IsRevoked(list, leaf) {
			return fmt.Sprintf("client_crl revokes its %s certificate", name)
		}
	}
	return ""
}

// Revocations returns the list of revoked certificates that belongs to a member's flags, or "" if it looks at none by
// them.
func (c Cluster) Revocations(flags []string) string {
	if !slices.Contains(flags, "--client-crl-file="+api.ClientCRLFile(c.Name)) {
		return ""
	}
	return c.ClientCRL
}

// unrevoked returns how the list of revoked certificates on a member's host differs from the desired one, or "", and
// whether the member lets no client in for want of one that it can read. A member that does not look at a list yet gets
// it with the flag.
func (c Cluster) unrevoked(o *api.Observation) (differs string, shutsOut bool) {
	desired := c.Revocations(o.Flags)
	if desired == "" || cert.SameRevocationList(o.ClientCRL, desired) {
		return "", false
	}
	have := "its list of revoked certificates is missing, or cannot be read, so that it lets no client in"
	list, err := cert.ParseRevocationList([]byte(o.ClientCRL))
	if shutsOut = err != nil; !shutsOut {
		have = fmt.Sprintf("its list of revoked certificates (number %s, %d) is not the desired one", list.Number, len(list.RevokedCertificateEntries))
	}
	if list, err = cert.ParseRevocationList([]byte(c.ClientCRL)); err != nil {
		return "", shutsOut // the plan of the configuration refuses it
	}
	return fmt.Sprintf("%s (number %s, %d)", membership.OldRevocations+have, list.Number, len(list.RevokedCertificateEntries)), shutsOut
}

// unchained says which of a member's certificates other intermediates follow than those of the authority that has
// signed it, or "". So it is after an authority above the one that signs was renewed: members trust the same as before,
// and their clients do not.
func (c Cluster) unchained(held map[string]api.Certificate, known trust) string {
	for _, key := range api.KeyNames {
		if chained := c.chained(held[key].PEM, known.of(key)); chained != "" {
			return fmt.Sprintf("%s%s follow its %s certificate, and %s should", membership.OldChain, followers(held[key].PEM), key, followers(chained))
		}
	}
	return ""
}

// Rechained are the certificates on a member's host, PEM, with the intermediates behind them that belong there: those
// that others follow. Nothing is signed for that.
func (c Cluster) Rechained(m membership.Member, owner string, reports Reports) map[string]string {
	rechained, known := map[string]string{}, c.trust(owner, reports)
	for _, key := range api.KeyNames {
		if o := reports[m].Observation; o != nil {
			rechained[key] = c.chained(o.Certificates[key].PEM, known.of(key))
		}
	}
	maps.DeleteFunc(rechained, func(_, text string) bool { return text == "" })
	return rechained
}

// chained is a certificate, PEM, with the intermediates behind it of the authority that has signed it; empty: it is so,
// or nobody knows what belongs there.
func (c Cluster) chained(text string, known authorities) (chained string) {
	chain, err := cert.Parse([]byte(text))
	if err != nil {
		return ""
	}
	for _, authority := range known { // an authority may have been certified anew with the same key
		follows, is := c.Chains[cert.Name(authority)]
		if !is || chain[0].CheckSignatureFrom(authority) != nil {
			continue
		}
		wants := append([]*x509.Certificate{chain[0]}, parseAuthorities(follows)...)
		if slices.EqualFunc(chain, wants, (*x509.Certificate).Equal) {
			return ""
		}
		if chained == "" {
			chained = cert.Encode(wants...)
		}
	}
	return chained
}

// followers name what follows a certificate, PEM.
func followers(text string) string {
	var names []string
	for _, c := range cert.Following(text) {
		names = append(names, fmt.Sprintf("%.80q (%s)", c.Subject.CommonName, cert.Name(c)))
	}
	if len(names) == 0 {
		return "no others"
	}
	return strings.Join(names, ", ")
}

// Above are the certificates above the authorities that have signed members' certificates, as hosts show them.
func (r Reports) Above() (above []*x509.Certificate) {
	for _, report := range r {
		if report.Observation == nil {
			continue
		}
		for _, key := range api.KeyNames {
			// The first certificate is the authority's own.
			if follow := cert.Following(report.Observation.Certificates[key].PEM); len(follow) > 1 {
				above = append(above, follow[1:]...)
			}
		}
	}
	return above
}
