package ssh

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// parsePublicKey parses "TYPE BASE64 [COMMENT]". It is stricter than the parser for authorized_keys, which takes a
// host name or marker before the key for an option and drops it.
//
// No error cites the text: what is no public key may be a private one in the wrong place.
func parsePublicKey(name, line string) (gossh.PublicKey, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return nil, fmt.Errorf(`%s is no public key: it has to look like "ssh-ed25519 AAAA..."`, name)
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return nil, fmt.Errorf(`%s is no public key: it has to begin with its type, like "ssh-ed25519 AAAA...", with no host name before it`, name)
	}
	key, err := gossh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("%s is no public key, or a part of one: %w", name, err)
	}
	if key.Type() != fields[0] {
		return nil, fmt.Errorf("%s does not begin with the type of its key, %s", name, key.Type())
	}
	return key, nil
}

// marshalKey returns the one-line form that parsePublicKey reads.
func marshalKey(key gossh.PublicKey) string {
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
}

// describeKey names a public key as ssh-keygen -l does.
func describeKey(key gossh.PublicKey) string {
	return key.Type() + " " + gossh.FingerprintSHA256(key)
}

func sameKey(a, b gossh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// parseUserCertificate parses the text of an id_*-cert.pub.
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

// describeUserCertificate names what hosts check in a certificate, for the error of a refused login.
func describeUserCertificate(cert *gossh.Certificate) string {
	return fmt.Sprintf("certificate %q of %s for users %s, valid %s, signed by %s",
		cert.KeyId, describeKey(cert.Key), strings.Join(cert.ValidPrincipals, ","), validity(cert), describeKey(cert.SignatureKey))
}

// validity returns the period in which a certificate is valid, in UTC.
func validity(cert *gossh.Certificate) string {
	if cert.ValidBefore == gossh.CertTimeInfinity {
		return "from " + utc(cert.ValidAfter)
	}
	return "from " + utc(cert.ValidAfter) + " to " + utc(cert.ValidBefore)
}

func utc(seconds uint64) string { return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339) }
