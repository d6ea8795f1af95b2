package cert

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// A claim is one statement of a certificate or of a request for one about its holder, as text: `DNS name "localhost"`.
// Lists of claims allow comparing what was desired, requested and signed, whatever kind of statement differs, and
// describing the difference.

// CommonNameClaim returns the claim of a subject's common name.
func CommonNameClaim(name string) string { return fmt.Sprintf("common name %q", name) }

// OrganizationClaim returns the claim of one organization of a subject.
func OrganizationClaim(name string) string { return fmt.Sprintf("organization %q", name) }

// DNSClaim returns the claim of a DNS name.
func DNSClaim(name string) string { return fmt.Sprintf("DNS name %q", name) }

// IPClaim returns the claim of an IP address.
func IPClaim(ip netip.Addr) string { return "IP address " + ip.String() }

// RequestClaims returns the claims of a certificate request.
func RequestClaims(request *x509.CertificateRequest) ([]string, error) {
	return claimsOf(request.Subject, request.Extensions, nil)
}

// Claims returns the claims of a certificate. Basic constraints and key usages are none, since they do not concern the
// holder's names.
func Claims(certificate *x509.Certificate) ([]string, error) {
	return claimsOf(certificate.Subject, certificate.Extensions, []string{
		oidBasicConstraints, oidKeyUsage, oidExtKeyUsage, oidSubjectKeyID, oidAuthorityKeyID,
	})
}

// Extensions of certificates.
const (
	oidSubjectKeyID     = "2.5.29.14"
	oidKeyUsage         = "2.5.29.15"
	oidSubjectAltName   = "2.5.29.17"
	oidBasicConstraints = "2.5.29.19"
	oidAuthorityKeyID   = "2.5.29.35"
	oidExtKeyUsage      = "2.5.29.37"
)

var extensionNames = map[string]string{
	oidSubjectKeyID:     "subject key identifier",
	oidKeyUsage:         "key usage",
	oidBasicConstraints: "basic constraints",
	oidAuthorityKeyID:   "authority key identifier",
	oidExtKeyUsage:      "extended key usage",
}

// claimsOf collects the claims of a subject and of all extensions but those named.
func claimsOf(subject pkix.Name, extensions []pkix.Extension, except []string) ([]string, error) {
	claims := subjectClaims(subject)
	for _, extension := range extensions {
		switch oid := extension.Id.String(); {
		case slices.Contains(except, oid):
		case oid == oidSubjectAltName:
			names, err := altNameClaims(extension.Value)
			if err != nil {
				return nil, fmt.Errorf("read the subject alternative names: %w", err)
			}
			claims = append(claims, names...)
		case extensionNames[oid] != "":
			claims = append(claims, "extension "+extensionNames[oid])
		default:
			claims = append(claims, "extension "+oid)
		}
	}
	return claims, nil
}

// subjectClaims looks at every attribute: the fields of pkix.Name drop second common names and
// whatever has no field.
func subjectClaims(subject pkix.Name) []string {
	var claims []string
	for _, attribute := range subject.Names {
		value, isText := attribute.Value.(string)
		switch oid := attribute.Type.String(); {
		case isText && oid == "2.5.4.3":
			claims = append(claims, CommonNameClaim(value))
		case isText && oid == "2.5.4.10":
			claims = append(claims, OrganizationClaim(value))
		default:
			claims = append(claims, fmt.Sprintf("subject attribute %s %q", oid, fmt.Sprint(attribute.Value)))
		}
	}
	return claims
}

// altNameClaims reads a subjectAltName extension itself: crypto/x509 skips kinds of names that it has
// no field for.
func altNameClaims(der []byte) ([]string, error) {
	var names []asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &names); err != nil {
		return nil, err
	} else if len(rest) > 0 {
		return nil, errors.New("something follows them")
	}
	var claims []string
	for _, name := range names {
		ip, isIP := netip.AddrFromSlice(name.Bytes)
		switch { // by RFC 5280, section 4.2.1.6
		case name.Class != asn1.ClassContextSpecific:
			return nil, fmt.Errorf("one of them is of class %d", name.Class)
		case name.Tag == 1:
			claims = append(claims, fmt.Sprintf("e-mail address %q", name.Bytes))
		case name.Tag == 2:
			claims = append(claims, DNSClaim(string(name.Bytes)))
		case name.Tag == 6:
			claims = append(claims, fmt.Sprintf("URI %q", name.Bytes))
		case name.Tag == 7 && isIP:
			claims = append(claims, IPClaim(ip))
		default:
			claims = append(claims, fmt.Sprintf("name of kind %d %x", name.Tag, name.Bytes))
		}
	}
	return claims, nil
}

// CompareClaims returns the claims that are not desired, and those that are missing. Order does not matter; repetition
// does.
func CompareClaims(desired, made []string) (extra, missing []string) {
	missing = slices.Clone(desired)
	for _, claim := range made {
		if i := slices.Index(missing, claim); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
		} else {
			extra = append(extra, claim)
		}
	}
	return extra, missing
}
