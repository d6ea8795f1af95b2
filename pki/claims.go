package pki

import (
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// claims returns the requested claims.
func (r Request) claims() []string {
	claims := []string{cert.CommonNameClaim(r.CommonName)}
	for _, o := range r.Organization {
		claims = append(claims, cert.OrganizationClaim(o))
	}
	for _, name := range r.DNSNames {
		claims = append(claims, cert.DNSClaim(name))
	}
	for _, ip := range r.IPs {
		claims = append(claims, cert.IPClaim(ip.Unmap()))
	}
	return claims
}

// list formats claims for an error. They may be hostile, so it bounds their number and length.
func list(claims []string) string {
	const most, longest = 5, 200
	var shown []string
	for _, claim := range claims[:min(most, len(claims))] {
		shown = append(shown, fmt.Sprintf("%.*s", longest, claim))
	}
	if more := len(claims) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(shown, ", ")
}
