package bootstrap

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Renewal is how long members' certificates are valid, and when they are renewed.
type Renewal struct {
	Before   time.Duration // before its end a certificate is renewed; 0: in the last third of its life
	Validity time.Duration // of new certificates; one that is valid for longer is renewed. 0: the default, and no matter how long one is valid
}

// due says which of a member's certificates are to be renewed by now, though they hold; empty: none. One that ends with its
// authority is left as it is: another would end at the same time.
func (c Cluster) due(m membership.Member, held map[string]api.Certificate, known trust, now time.Time) string {
	if tooLong := c.validTooLong(m, held); tooLong != "" || now.IsZero() {
		return tooLong
	}
	for _, want := range c.Keys(m) {
		leaf, err := cert.ParseLeaf([]byte(held[want.Name].PEM))
		if err != nil || !cert.NeedsRenewal(cert.InfoOf(leaf), now, c.Renewal.Before) || endsWithItsAuthority(held[want.Name].PEM, known.of(want.Name)) {
			continue
		}
		return fmt.Sprintf("its %s certificate expires at %s", want.Name, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return ""
}

// validTooLong says which of a member's certificates is valid for longer than the configuration says; empty: none. Certificates
// say whole seconds.
func (c Cluster) validTooLong(m membership.Member, held map[string]api.Certificate) string {
	for _, want := range c.Keys(m) {
		leaf, err := cert.ParseLeaf([]byte(held[want.Name].PEM))
		if err != nil || c.Renewal.Validity == 0 {
			continue
		}
		if lasts := leaf.NotAfter.Sub(cert.Issued(leaf)); lasts > c.Renewal.Validity+time.Second {
			return fmt.Sprintf("its %s certificate is valid for %s, and validity is %s", want.Name, membership.Short(lasts), membership.Short(c.Renewal.Validity))
		}
	}
	return ""
}

// endsWithItsAuthority tells whether a certificate was cut short at the end of the authority that it is of, or of one above that.
func endsWithItsAuthority(text string, known authorities) bool {
	chain, err := cert.Parse([]byte(text))
	return err == nil && slices.ContainsFunc(known, func(authority *x509.Certificate) bool {
		return chain[0].CheckSignatureFrom(authority) == nil && !chain[0].NotAfter.Before(cert.FirstEnd(append(chain[1:], authority)))
	})
}
