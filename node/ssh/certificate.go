package ssh

import (
	"fmt"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// parseUserCertificate reads the text of an id_*-cert.pub.
func parseUserCertificate(text, from string) (*gossh.Certificate, error) {
	key, err := parsePublicKey(from, strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	cert, ok := key.(*gossh.Certificate)
	if !ok {
		return nil, fmt.Errorf("%s is a plain public key: set the certificate that was signed over it (the file ending in -cert.pub)", from)
	}
	if cert.CertType != gossh.UserCert {
		return nil, fmt.Errorf("%s is the certificate of a host: set one of a user (ssh-keygen -s CA without -h)", from)
	}
	return cert, nil
}

// describeUserCertificate names what a host judges a certificate by, for the error of a refused login.
func describeUserCertificate(cert *gossh.Certificate) string {
	return fmt.Sprintf("certificate %q of %s for users %s, valid %s, signed by %s",
		cert.KeyId, describeKey(cert.Key), strings.Join(cert.ValidPrincipals, ","), validity(cert), describeKey(cert.SignatureKey))
}

// validity is the time in which a certificate holds, in UTC.
func validity(cert *gossh.Certificate) string {
	if cert.ValidBefore == gossh.CertTimeInfinity {
		return "from " + utc(cert.ValidAfter)
	}
	return "from " + utc(cert.ValidAfter) + " to " + utc(cert.ValidBefore)
}

func utc(seconds uint64) string { return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339) }
