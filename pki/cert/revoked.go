package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// RevocationListType is the type of the PEM block of a list of revoked certificates.
const RevocationListType = "X509 CRL"

// ParseRevocationList parses the only list of revoked certificates in text, PEM.
func ParseRevocationList(text []byte) (*x509.RevocationList, error) {
	if bytes.Contains(text, []byte("PRIVATE KEY")) {
		return nil, errors.New(`it holds a private key (PEM "PRIVATE KEY") where a list of revoked certificates belongs`)
	}
	der, err := DecodeOne(text, RevocationListType)
	if err != nil {
		return nil, err
	}
	return x509.ParseRevocationList(der)
}

// EncodeRevocationList returns a list of revoked certificates, DER, as PEM.
func EncodeRevocationList(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: RevocationListType, Bytes: der}))
}

// SameRevocationList tells whether two texts, PEM, revoke the same certificates: etcd reads only the serial numbers in
// a list. Texts that hold no list are the same if they are equal.
func SameRevocationList(a, b string) bool {
	ofA, errA := ParseRevocationList([]byte(a))
	ofB, errB := ParseRevocationList([]byte(b))
	if errA != nil || errB != nil {
		return a == b
	}
	return maps.Equal(serialsOf(ofA), serialsOf(ofB))
}

// serialsOf returns the set of serial numbers that a list has.
func serialsOf(list *x509.RevocationList) map[string]bool {
	set := map[string]bool{}
	for _, entry := range list.RevokedCertificateEntries {
		set[entry.SerialNumber.String()] = true
	}
	return set
}

// IsRevoked tells whether a list has the serial number of a certificate. etcd compares nothing else, whichever
// authorities have signed the two.
func IsRevoked(list *x509.RevocationList, certificate *x509.Certificate) bool {
	return slices.ContainsFunc(list.RevokedCertificateEntries, func(entry x509.RevocationListEntry) bool {
		return entry.SerialNumber.Cmp(certificate.SerialNumber) == 0
	})
}

// longestSerial is the largest number of bytes in a serial number, by RFC 5280.
const longestSerial = 20

// ParseSerial reads a serial number in hexadecimal, as openssl prints it, with colons or without, or as Info has it.
func ParseSerial(text string) (*big.Int, error) {
	digits := strings.ReplaceAll(text, ":", "")
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	number, err := hex.DecodeString(digits)
	serial := new(big.Int).SetBytes(number)
	if err != nil || serial.Sign() == 0 || len(serial.Bytes()) > longestSerial {
		return nil, fmt.Errorf("%.80q is no serial number of a certificate in hexadecimal", text)
	}
	return serial, nil
}
