package pki

import (
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// ErrSignsNoLists says why an imported authority revokes nothing: its certificate does not allow signing lists.
var ErrSignsNoLists = errors.New("its certificate lacks the key usage cRLSign, by which lists of revoked certificates are signed")

// Revoke returns a list, PEM, of the certificates with these serial numbers as revoked by the authority. The same
// request has the same answer, so that a plan can say what an apply signs: the list is valid from when the authority
// is, and until it ends, and gives the former time as that of the revocations. Lists are ordered by their numbers.
func (a *Authority) Revoke(serials []*big.Int, number int64) (string, error) {
	if a.key == nil {
		return "", errors.New("the key of the authority is not at hand")
	}
	issuer := *a.certificate
	if issuer.KeyUsage == 0 {
		// Without this extension, which openssl req omits, every usage is allowed.
		issuer.KeyUsage = x509.KeyUsageCRLSign
	}
	if len(issuer.SubjectKeyId) == 0 {
		sum := sha1.Sum(issuer.RawSubjectPublicKeyInfo) // the hash of RFC 5280
		issuer.SubjectKeyId = sum[:]
	}
	if issuer.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return "", fmt.Errorf("%s revokes nothing: %w", a, ErrSignsNoLists)
	}
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: issuer.NotBefore, NextUpdate: issuer.NotAfter}
	sorted := slices.SortedFunc(slices.Values(serials), (*big.Int).Cmp)
	for _, serial := range slices.CompactFunc(sorted, func(a, b *big.Int) bool { return a.Cmp(b) == 0 }) {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: issuer.NotBefore})
	}
	der, err := x509.CreateRevocationList(nil, list, &issuer, a.key) // without randomness signatures are deterministic
	if err != nil {
		return "", fmt.Errorf("sign the list of revoked certificates of %s: %w", a, err)
	}
	return cert.EncodeRevocationList(der), nil
}
