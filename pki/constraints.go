package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
)

// Permits returns why the authority cannot certify the names and addresses of a request, or nil: name constraints of
// the authority, or of one above it, do not permit one of them. Permits signs nothing, so that a plan can call it.
func (a *Authority) Permits(want Request) error {
	for i, c := range a.chain() {
		constraint := constraintsOf(c)
		if constraint == "" {
			continue
		}
		permits, err := rulesOf(c)
		if err != nil {
			return err
		}
		for _, host := range want.Hosts() {
			if !permits(host) {
				return fmt.Errorf("%s is outside the name constraints of the authority %.80q (certificate %d of its chain): it %s. Whoever trusts the authority would refuse a certificate with that name; "+
					"have an authority certified that permits it, or give the host a name or an address that this one permits", host, c.Subject.CommonName, i+1, constraint)
			}
		}
	}
	return nil
}

// constraintsOf describes which names of hosts an authority's certificate permits and excludes, or returns "" if the
// certificate has no constraints.
func constraintsOf(c *x509.Certificate) string {
	var says []string
	for _, of := range []struct {
		verb  string
		names []string
		nets  []*net.IPNet
	}{{"permits only", c.PermittedDNSDomains, nil}, {"permits only", nil, c.PermittedIPRanges}, {"excludes", c.ExcludedDNSDomains, c.ExcludedIPRanges}} {
		var listed []string
		for _, name := range of.names {
			listed = append(listed, fmt.Sprintf("%.80q", name))
		}
		for _, network := range of.nets {
			listed = append(listed, network.String())
		}
		if len(listed) > 0 {
			kind := "names in "
			if len(of.nets) > 0 {
				kind = "addresses in "
			}
			if of.verb == "excludes" {
				kind = ""
			}
			says = append(says, of.verb+" "+kind+order.List(listed))
		}
	}
	return strings.Join(says, ", and ")
}

// rulesOf has the verifier that etcd uses check single names by an authority's name constraints. The verifier gets a
// throw-away certificate with the name, signed by a throw-away authority with the constraints.
func rulesOf(c *x509.Certificate) (permits func(host string) bool, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	issue := func(template, parent *x509.Certificate) (*x509.Certificate, error) {
		template.SerialNumber, template.NotAfter = big.NewInt(1), time.Unix(0, 0).Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, crypto.PublicKey(key.Public()), key)
		if err != nil {
			return nil, err
		}
		return x509.ParseCertificate(der)
	}
	ca := &x509.Certificate{
		IsCA: true, BasicConstraintsValid: true,
		PermittedDNSDomains: c.PermittedDNSDomains, ExcludedDNSDomains: c.ExcludedDNSDomains,
		PermittedIPRanges: c.PermittedIPRanges, ExcludedIPRanges: c.ExcludedIPRanges,
	}
	ca.Subject.CommonName = "constraints"
	authority, err := issue(ca, ca)
	if err != nil {
		return nil, fmt.Errorf("read the name constraints of the authority %.80q: %w", c.Subject.CommonName, err)
	}
	return func(host string) bool {
		leaf := &x509.Certificate{DNSNames: []string{host}}
		if ip := net.ParseIP(host); ip != nil {
			leaf.DNSNames, leaf.IPAddresses = nil, []net.IP{ip}
		}
		issued, err := issue(leaf, authority)
		return err == nil && cert.Verify(issued, []*x509.Certificate{authority}, time.Unix(60, 0), x509.ExtKeyUsageAny) == nil
	}, nil
}
