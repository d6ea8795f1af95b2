package signing

import (
	"crypto/x509"
	"encoding/pem"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// verified remembers which certificates an authority of which bundles has signed.
var verified cache[bool]

// names remembers the common names in certificates.
var names cache[string]

// CommonName returns the common name in a certificate, PEM, or "" if it cannot be read.
func CommonName(certificate string) string {
	name, _ := names.get(certificate, func() (string, error) {
		block, _ := pem.Decode([]byte(certificate))
		if block == nil {
			return "", nil
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", nil
		}
		return leaf.Subject.CommonName, nil
	})
	return name
}

// IsOf tells whether an authority in a bundle has signed a certificate, PEM.
func IsOf(certificate, bundle string) bool {
	is, _ := verified.get(model.Digest(bundle, certificate), func() (bool, error) { return signedByAny(certificate, bundle), nil })
	return is
}

func signedByAny(certificate, bundle string) bool {
	block, _ := pem.Decode([]byte(certificate))
	if block == nil {
		return false
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false
	}
	for rest := []byte(bundle); ; {
		var ca *pem.Block
		if ca, rest = pem.Decode(rest); ca == nil {
			return false
		}
		if authority, err := x509.ParseCertificate(ca.Bytes); err == nil && leaf.CheckSignatureFrom(authority) == nil {
			return true
		}
	}
}
