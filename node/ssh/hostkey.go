package ssh

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// The algorithms by which a host may prove its key: no SHA-1, no DSA.
var (
	plainAlgorithms = []string{
		gossh.KeyAlgoED25519,
		gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521,
		gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256,
	}
	certAlgorithms = []string{
		gossh.CertAlgoED25519v01,
		gossh.CertAlgoECDSA256v01, gossh.CertAlgoECDSA384v01, gossh.CertAlgoECDSA521v01,
		gossh.CertAlgoRSASHA512v01, gossh.CertAlgoRSASHA256v01,
	}
)

// algorithmsOf returns the algorithms for a type of key.
func algorithmsOf(key gossh.PublicKey) []string {
	if key.Type() == gossh.KeyAlgoRSA {
		return []string{gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256}
	}
	return []string{key.Type()}
}

// algorithms returns the algorithms to offer, in order. The host presents the first that it has, so acceptable kinds
// come first, and a host with several keys presents the right one. The others follow only for the error, which can
// then name the key that the host has instead.
func (t *trust) algorithms() []string {
	var order []string
	if len(t.authorities) > 0 {
		order = append(order, certAlgorithms...)
	}
	for _, key := range t.keys {
		order = append(order, algorithmsOf(key)...)
	}
	order = append(order, plainAlgorithms...)
	var once []string
	for _, algorithm := range order {
		if !slices.Contains(once, algorithm) {
			once = append(once, algorithm)
		}
	}
	return once
}

// verify returns the check for what a host presents in the handshake.
func (t *trust) verify(target Target, now func() time.Time) gossh.HostKeyCallback {
	return func(_ string, _ net.Addr, presented gossh.PublicKey) error {
		key := plainKey(presented)
		if mark := t.revoked(key); mark != "" {
			return fmt.Errorf("%w: %s presents %s, which is marked @revoked in %s: whoever has that key may not be trusted",
				ErrHostKeyMismatch, target.endpoint(), describeKey(key), mark)
		}
		cert, ok := presented.(*gossh.Certificate)
		if ok && slices.ContainsFunc(t.authorities, func(ca gossh.PublicKey) bool { return sameKey(ca, cert.SignatureKey) }) {
			return t.verifyCertificate(target, now, cert)
		}
		// A certificate of another authority proves nothing, but the key in it is still the host's: the handshake has
		// proved that.
		if slices.ContainsFunc(t.keys, func(known gossh.PublicKey) bool { return sameKey(known, key) }) {
			return nil
		}
		if len(t.keys) > 0 {
			return mismatch(target, t.keys, key)
		}
		return unknown(target, t, presented)
	}
}

// verifyCertificate checks a certificate that names a trusted authority as its signer.
func (t *trust) verifyCertificate(target Target, now func() time.Time, cert *gossh.Certificate) error {
	refuse := func(why string) error {
		return fmt.Errorf("%w: the certificate %q that %s presents (%s) does not hold: %s",
			ErrHostKeyMismatch, cert.KeyId, target.endpoint(), describeKey(cert.Key), why)
	}
	if mark := t.revoked(cert.SignatureKey); mark != "" {
		return refuse("its authority " + describeKey(cert.SignatureKey) + " is marked @revoked in " + mark)
	}
	if cert.CertType != gossh.HostCert {
		return refuse("it is the certificate of a user: sign the host's key with ssh-keygen -h")
	}
	// Without principals, every host of the authority could impersonate every other.
	if len(cert.ValidPrincipals) == 0 {
		return refuse(fmt.Sprintf("it names no principals: sign it with ssh-keygen -h -n %s", target.host()))
	}
	if cert.Signature.Format == gossh.KeyAlgoRSA {
		return refuse("its signature is by SHA-1: sign it with ssh-keygen -t rsa-sha2-512")
	}
	checker := gossh.CertChecker{Clock: now}
	// As in OpenSSH, principals are host names or addresses without port.
	if err := checker.CheckCert(target.host(), cert); err != nil {
		return refuse(fmt.Sprintf("%v (it is for %s, valid %s)",
			err, strings.Join(cert.ValidPrincipals, ","), validity(cert)))
	}
	return nil
}

func mismatch(target Target, known []gossh.PublicKey, presented gossh.PublicKey) error {
	expected := make([]string, len(known))
	for i, key := range known {
		expected[i] = describeKey(key)
	}
	return fmt.Errorf(`%w: %s presents %s, expected is %s.
Either the host was reinstalled or its key changed, or another machine answers at this address, or
somebody listens in. Compare the fingerprint on the host's console
(ssh-keygen -lf FILE.pub, for the files in /etc/ssh). Only if it shows the presented one, set
%s`,
		ErrHostKeyMismatch, target.endpoint(), describeKey(presented), strings.Join(expected, " or "),
		howToTrust(target, presented))
}

func unknown(target Target, t *trust, presented gossh.PublicKey) error {
	authorities := t.authorities
	what := "and nothing that is configured knows it"
	if t.empty {
		what = "and nothing is configured that vouches for any host (host_key, host_ca or known_hosts_file)"
	}
	if len(authorities) > 0 {
		what = "without a certificate of " + describeKey(authorities[0])
	}
	if cert, ok := presented.(*gossh.Certificate); ok && len(authorities) > 0 {
		what = fmt.Sprintf("with a certificate that %s signed, and not %s", describeKey(cert.SignatureKey), describeKey(authorities[0]))
	}
	key := plainKey(presented)
	return fmt.Errorf(`%w: %s presents %s, %s.
Compare the fingerprint on the host's console (ssh-keygen -lf FILE.pub, for the files in /etc/ssh).
Only if it shows the presented one, set
%s`,
		ErrHostKeyUnknown, target.endpoint(), describeKey(key), what, howToTrust(target, key))
}

// howToTrust returns the lines that make a key trusted. They must not come last: what a caller appends to an error
// would become part of the line to copy.
func howToTrust(target Target, key gossh.PublicKey) string {
	return fmt.Sprintf("  host_key = %q\nor the line in a known_hosts file\n  %s\nNo login was tried",
		marshalKey(key), knownhosts.Line([]string{target.endpoint()}, key))
}
