package bootstrap

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Names under which an observation reports the CA bundles.
const (
	observedPeerCA   = "peer-ca"
	observedClientCA = "client-ca"
)

// Authority returns the bundle that signs a key pair's certificate and verifies its peers.
func (c Cluster) Authority(key string) string {
	return api.ForKey(key, c.PeerCA, c.ClientCA)
}

// certified tells whether a host trusts the desired bundles and has, for every key pair, a valid certificate of the
// desired authority with the desired claims.
func (c Cluster) certified(m membership.Member, held map[string]api.Certificate, now time.Time) bool {
	if !cert.Same(held[observedPeerCA].PEM, c.PeerCA) || !cert.Same(held[observedClientCA].PEM, c.ClientCA) {
		return false
	}
	for _, want := range c.Keys(m) {
		have := held[want.Name]
		if !have.HasKey || have.Exposed || have.Error != "" || !matches(have.PEM, want, parseAuthorities(c.Authority(want.Name)), now) {
			return false
		}
	}
	return true
}

// matches tells whether a certificate is signed by one of these authorities, is valid at now, and has exactly the
// desired subject, names and usages.
func matches(text string, want api.KeyRequest, by authorities, now time.Time) bool {
	leaf, err := cert.ParseLeaf([]byte(text))
	if err != nil || cert.Verify(leaf, by, now, x509.ExtKeyUsageAny) != nil {
		return false
	}
	has, err := cert.Claims(leaf)
	if err != nil || misused(text, want) != "" {
		return false
	}
	extra, missing := cert.CompareClaims(claimsOf(want), has)
	return len(extra)+len(missing) == 0
}

// claimsOf returns the claims that the certificate of a key is to have.
func claimsOf(want api.KeyRequest) []string {
	claims := []string{cert.CommonNameClaim(want.CommonName)}
	for _, name := range want.Organization {
		claims = append(claims, cert.OrganizationClaim(name))
	}
	for _, name := range want.DNSNames {
		claims = append(claims, cert.DNSClaim(name))
	}
	for _, text := range want.IPs {
		ip, _ := netip.ParseAddr(text) // Keys wrote it
		claims = append(claims, cert.IPClaim(ip))
	}
	return claims
}

// misnamed says which names a certificate lacks or should not have, or "" if its names are right.
func misnamed(text string, want api.KeyRequest) string {
	leaf, err := cert.ParseLeaf([]byte(text))
	if err != nil {
		return ""
	}
	has, wants := namesOf(leaf), slices.Concat(want.DNSNames, want.IPs)
	missing, extra := without(wants, has), without(has, wants)
	switch {
	case len(missing) > 0:
		return "does not name " + firstOf(missing)
	case len(extra) > 0:
		return "names " + firstOf(extra) + ", and should not"
	}
	return ""
}

// misused says which usages a certificate lacks or should not have, or "" if they are those of its key: members are
// clients of each other, and of themselves by etcd's gateway.
func misused(text string, want api.KeyRequest) string {
	leaf, err := cert.ParseLeaf([]byte(text))
	if err != nil {
		return ""
	}
	server := slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	switch {
	case leaf.IsCA:
		return "is an authority's"
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return "is not for use by a client"
	case want.Name == api.KeyAdmin && server:
		return "is for use by a server too, and should not be"
	case want.Name != api.KeyAdmin && !server:
		return "is not for use by a server"
	case len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 2 || want.Name == api.KeyAdmin && len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 1:
		return "is for more uses than it should be"
	}
	return ""
}

// namesOf returns the DNS names and IP addresses in a certificate.
func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range cert.IPs(leaf) {
		names = append(names, ip.String())
	}
	return names
}

// without returns the elements of list that are not in other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(text string) bool { return slices.Contains(other, text) })
}

// firstOf lists the first few names, and how many more there are.
func firstOf(names []string) string {
	const most = 3
	shown := strings.Join(names[:min(most, len(names))], ", ")
	if more := len(names) - most; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	return shown
}

// ServerNamesOf returns the names in a member's server certificate, PEM, that only the configuration accounts for; an
// import reads them back. An unreadable certificate has none: it is issued anew in any case.
func (c Cluster) ServerNamesOf(m membership.Member, text string) []string {
	leaf, err := cert.ParseLeaf([]byte(text))
	if err != nil {
		return nil
	}
	c.ServerNames = nil
	for _, own := range c.Keys(m) {
		if own.Name == api.KeyServer {
			return without(namesOf(leaf), slices.Concat(own.DNSNames, own.IPs))
		}
	}
	return nil
}

// issued returns a time at which a certificate was valid: when it was issued. It is zero if the certificate cannot be
// read.
func issued(text string) time.Time {
	leaf, err := cert.ParseLeaf([]byte(text))
	if err != nil {
		return time.Time{}
	}
	return cert.Issued(leaf)
}
