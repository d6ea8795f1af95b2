package bootstrap

import (
	"crypto/x509"
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

// Authority is the bundle that the certificate of a key pair is signed and trusted by.
func (c Cluster) Authority(key string) string {
	if key == api.KeyPeer {
		return c.PeerCA
	}
	return c.ClientCA
}

// certified tells whether a host holds, for every key pair, a certificate of the desired authority
// that says what is desired and holds now, and trusts the desired bundles.
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
// exactly the subject and names that are desired.
func says(text string, want api.KeyRequest, bundle string, now time.Time) bool {
	leaf, err := cert.ParseLeaf([]byte(text))
	if err != nil {
		return false
	}
	authorities, err := cert.Parse([]byte(bundle))
	if err != nil || cert.Verify(leaf, authorities, now, x509.ExtKeyUsageAny) != nil {
		return false
	}
	var ips []string
	for _, ip := range cert.IPs(leaf) {
		ips = append(ips, ip.String())
	}
	return len(leaf.EmailAddresses) == 0 && len(leaf.URIs) == 0 &&
		leaf.Subject.CommonName == want.CommonName &&
		sameSet(leaf.Subject.Organization, want.Organization) &&
		sameSet(leaf.DNSNames, want.DNSNames) &&
		sameSet(ips, want.IPs)
}

// issued is a time at which a certificate held: when it was issued. The zero time: it cannot be read.
func issued(text string) time.Time {
	leaf, err := cert.ParseLeaf([]byte(text))
	if err != nil {
		return time.Time{}
	}
	return cert.Issued(leaf)
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func samePEM(a, b string) bool { return strings.TrimSpace(a) == strings.TrimSpace(b) }
