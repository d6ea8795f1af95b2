package bootstrap

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Names under which an observation reports the CA bundles.
const (
	observedPeerCA   = "peer-ca"
	observedClientCA = "client-ca"
)

// Authority is the bundle that the certificate of a key pair is signed and trusted by.
func (c Cluster) Authority(key string) string {
	if key == api.KeyPeer {
		return c.PeerCA
	}
	return c.ClientCA
}

// certified tells whether a host holds, for every key pair, a certificate of the wanted authority
// that says what is wanted and holds now, and trusts the wanted bundles.
func (c Cluster) certified(m membership.Member, held map[string]api.Certificate, now time.Time) bool {
	if !samePEM(held[observedPeerCA].PEM, c.PeerCA) || !samePEM(held[observedClientCA].PEM, c.ClientCA) {
		return false
	}
	for _, want := range c.Keys(m) {
		have := held[want.Name]
		if !have.HasKey || have.Error != "" || !says(have.PEM, want, c.Authority(want.Name), now) {
			return false
		}
	}
	return true
}

// says tells whether a certificate is of one of the authorities in bundle, holds at now, and has
// exactly the subject and names that are wanted.
func says(text string, want api.KeyRequest, bundle string, now time.Time) bool {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(bundle))
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return false
	}
	var ips []string
	for _, ip := range cert.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			ips = append(ips, addr.Unmap().String())
		}
	}
	return len(cert.EmailAddresses) == 0 && len(cert.URIs) == 0 &&
		cert.Subject.CommonName == want.CommonName &&
		sameSet(cert.Subject.Organization, want.Organization) &&
		sameSet(cert.DNSNames, want.DNSNames) &&
		sameSet(ips, want.IPs)
}

// issued is a time at which a certificate held: when it was issued, which is five minutes after it begins
// (authorities backdate by as much, for clocks that differ). The zero time: it cannot be read.
func issued(text string) time.Time {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return time.Time{}
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}
	}
	return cert.NotBefore.Add(5 * time.Minute)
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func samePEM(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }
