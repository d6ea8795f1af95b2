package order

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Request is what a certificate is to say. The certificate says nothing else.
type Request struct {
	Profile      Profile
	CommonName   string   // 1 to 64 bytes; for a client, its etcd user once authentication is on
	Organization []string // each 1 to 64 bytes
	DNSNames     []string // no wildcards
	IPs          []netip.Addr
	Lifetime     time.Duration // at least MinimumLifetime; 0: DefaultLeafLifetime
}

// hostname matches DNS names. Without @, : and / in them, cfssl, which sorts names by their looks, takes none for an
// e-mail address or a URI.
var hostname = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// Check refuses what no certificate can or should say.
func (r Request) Check() error {
	if _, err := r.Profile.ExtKeyUsages(); err != nil {
		return err
	}
	if err := CheckSubject("common name", r.CommonName); err != nil {
		return err
	}
	for _, o := range r.Organization {
		if err := CheckSubject("organization", o); err != nil {
			return err
		}
	}
	for _, name := range r.DNSNames {
		if _, err := netip.ParseAddr(name); err == nil {
			return fmt.Errorf("%q is an IP address, and not a DNS name", name)
		}
		if len(name) > 253 || !hostname.MatchString(name) {
			return fmt.Errorf("%.80q is not a DNS name without wildcards", name)
		}
	}
	for _, ip := range r.IPs {
		if !ip.IsValid() || ip.Zone() != "" {
			return fmt.Errorf("%s cannot be in a certificate; it must be an IP address without a zone", ip)
		}
	}
	return CheckLifetime(r.LifetimeOrDefault())
}

// CheckSubject checks a part of a subject against the bounds of RFC 5280, which some TLS libraries enforce.
func CheckSubject(what, value string) error {
	switch {
	case strings.TrimSpace(value) == "":
		return errors.New("the " + what + " is empty")
	case len(value) > 64:
		return fmt.Errorf("the %s %.80q has %d bytes, and may have 64", what, value, len(value))
	case strings.ContainsFunc(value, func(c rune) bool { return c == unicode.ReplacementChar || !unicode.IsPrint(c) }):
		return fmt.Errorf("the %s %q holds characters that cannot be printed", what, value)
	}
	return nil
}

// LifetimeOrDefault returns for how long the certificate is to be valid.
func (r Request) LifetimeOrDefault() time.Duration {
	if r.Lifetime == 0 {
		return DefaultLeafLifetime
	}
	return r.Lifetime
}

// Hosts returns all names and addresses. It is never nil, which cfssl would take as permission to copy those of the
// certificate request.
func (r Request) Hosts() []string {
	hosts := append([]string{}, r.DNSNames...)
	for _, ip := range r.IPs {
		hosts = append(hosts, ip.Unmap().String())
	}
	return hosts
}

// Claims returns what the certificate is to say, as claims of package cert.
func (r Request) Claims() []string {
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
