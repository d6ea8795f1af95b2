package bootstrap

import (
	"fmt"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// revoked returns which of a member's own certificates the desired list of revoked ones has, or "". A host is the client of its
// member, and would shut itself out.
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

// Revocations returns the list of revoked certificates that belongs to a member's flags, or "" if it looks at none by them.
func (c Cluster) Revocations(flags []string) string {
	if !slices.Contains(flags, "--client-crl-file="+api.ClientCRLFile(c.Name)) {
		return ""
	}
	return c.ClientCRL
}

// unrevoked returns how the list of revoked certificates on a member's host differs from the desired one, or "". A member that
// does not look at one yet gets it with the flag.
func (c Cluster) unrevoked(o *api.Observation) string {
	if desired := c.Revocations(o.Flags); desired == "" || cert.SameRevocationList(o.ClientCRL, desired) {
		return ""
	}
	have := "its list of revoked certificates is missing, or cannot be read, so that it lets no client in"
	if list, err := cert.ParseRevocationList([]byte(o.ClientCRL)); err == nil {
		have = fmt.Sprintf("its list of revoked certificates (number %s, %d) is not the desired one", list.Number, len(list.RevokedCertificateEntries))
	}
	list, err := cert.ParseRevocationList([]byte(c.ClientCRL))
	if err != nil {
		return "" // the plan of the configuration refuses it
	}
	return fmt.Sprintf("%s (number %s, %d)", membership.OldRevocations+have, list.Number, len(list.RevokedCertificateEntries))
}
