package pki

import (
	"fmt"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
)

// Verify returns why verifiers would refuse a certificate, PEM, and its intermediates at now, for any usage of its
// profile. The verifiers trust the authorities in bundle, PEM: one authority, or an old and a new one during a
// rotation.
func Verify(certificatePEM, bundlePEM []byte, profile Profile, now time.Time) error {
	chain, err := cert.Parse(certificatePEM)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	authorities, err := cert.Parse(bundlePEM)
	if err != nil {
		return fmt.Errorf("read the authorities that %q is verified by: %w", chain[0].Subject.CommonName, err)
	}
	return order.Verify(chain, authorities, profile, now)
}
