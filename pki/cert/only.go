package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParseOnly parses a text that consists only of certificates, PEM. Its error says what else the text holds, without
// citing it.
func ParseOnly(text []byte) (certificates []*x509.Certificate, err error) {
	for rest := bytes.TrimSpace(text); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		block, after := pem.Decode(rest)
		if block == nil {
			if len(certificates) == 0 {
				return nil, errors.New("it holds no certificate, but something else")
			}
			return nil, errors.New("it holds something else beside certificates")
		}
		// Decode skips text and broken blocks before the one that it returns.
		own := rest[:len(rest)-len(after)]
		held, err := x509.ParseCertificate(block.Bytes)
		switch {
		case block.Type != BlockType:
			return nil, fmt.Errorf("it holds a PEM block %q", block.Type)
		case err != nil:
			return nil, errors.New("it holds a certificate that cannot be read")
		case !bytes.HasPrefix(own, []byte("-----BEGIN ")) || bytes.Count(own, []byte("-----BEGIN ")) > 1 || len(block.Headers) > 0:
			return nil, errors.New("it holds something else beside certificates")
		}
		certificates, rest = append(certificates, held), after
	}
	return certificates, nil
}
