package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Types of PEM blocks.
const (
	pemCertificate = "CERTIFICATE"
	pemRequest     = "CERTIFICATE REQUEST"
	pemOldRequest  = "NEW CERTIFICATE REQUEST" // as older tools write it
	pemPrivateKey  = "PRIVATE KEY"             // PKCS #8
)

// decodeOne returns the bytes of the one PEM block that data must hold. Text before it is ignored, as
// openssl writes some; anything behind it is refused.
func decodeOne(data []byte, types ...string) ([]byte, error) {
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return nil, fmt.Errorf("it holds no PEM block %q", types[0])
	case !slices.Contains(types, block.Type):
		return nil, fmt.Errorf("it is a PEM block %.80q where %q is wanted", block.Type, strings.Join(types, `" or "`))
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, fmt.Errorf("something follows its PEM block %q; it must be the only one", block.Type)
	}
	return block.Bytes, nil
}

func parseCertificate(data []byte) (*x509.Certificate, error) {
	der, err := decodeOne(data, pemCertificate)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// parseBundle reads one certificate after another. Unlike x509.CertPool it skips none in silence.
func parseBundle(data []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for len(bytes.TrimSpace(data)) > 0 {
		block, rest := pem.Decode(data)
		if block == nil || block.Type != pemCertificate {
			return nil, errors.New("it holds something else than PEM certificates")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certificates, data = append(certificates, certificate), rest
	}
	if len(certificates) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return certificates, nil
}
