// Package validate refuses values that can never be right, by validators of their attributes.
package validate

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Names, as their attributes describe them.
var (
	ClusterNamePattern = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

	ClusterName = stringvalidator.RegexMatches(ClusterNamePattern,
		"must be 1 to 32 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen")
	MemberName = stringvalidator.RegexMatches(regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`),
		"must be 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end")
	// etcd takes a list of names with commas between them.
	CommonName = stringvalidator.RegexMatches(regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?$`),
		"must be 1 to 64 letters, digits, spaces, dots, hyphens and underscores, with a letter or digit at either end")
	EtcdVersion = stringvalidator.RegexMatches(regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?$`),
		`must be a minor version of etcd, like "3.7", or an exact version, like "3.7.3"`)
)

// OneOfAlgorithms refuses anything but an algorithm of keys.
func OneOfAlgorithms() validator.String {
	var names []string
	for _, algorithm := range pki.Algorithms() {
		names = append(names, string(algorithm))
	}
	return stringvalidator.OneOf(names...)
}

// AboutAlgorithms describes the algorithms, and the default.
func AboutAlgorithms() string {
	var names []string
	for _, algorithm := range pki.Algorithms() {
		names = append(names, fmt.Sprintf("`%s`", algorithm))
	}
	return fmt.Sprintf("One of %s. Default: `%s`.", strings.Join(names, ", "), pki.DefaultAlgorithm)
}

// textCheck is a validator made from a function that says what is wrong with a text.
type textCheck struct {
	wants string // what a good value is
	check func(string) error
}

func (c textCheck) Description(context.Context) string         { return "must be " + c.wants }
func (c textCheck) MarkdownDescription(context.Context) string { return "must be " + c.wants }

// ValidateString checks a value that is known.
func (c textCheck) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if err := c.check(req.ConfigValue.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "Bad value for "+req.Path.String(), fmt.Sprintf("%q: %s. It must be %s.", req.ConfigValue.ValueString(), err, c.wants))
	}
}

// Checks of texts.
var (
	HTTPSURL    = textCheck{"an address that begins with https://", checkHTTPS}
	S3Endpoint  = textCheck{"https://HOST or https://HOST:PORT (or http://, for a network that is trusted)", checkEndpoint}
	HostAddress = textCheck{"an IP address or a DNS name, in lower case and without a port", CheckAddress}
	CIDR        = textCheck{"a network like 10.0.1.0/24 or 2001:db8:1::/64", api.CheckCIDR}
	Path        = textCheck{"an absolute path in its shortest spelling", checkPath}
	PublicKeys  = textCheck{`public SSH keys, one a line, like "ssh-ed25519 AAAA..."`, checkPublicKeys}
	Duration    = textCheck{`a positive duration like "8760h", "5m" or "100ms"`, CheckDuration}
	Lifetime    = textCheck{`a duration like "8760h", of 10 minutes at least`, checkLifetime}
	Serial      = textCheck{`a serial number in hexadecimal, like "3af1" or "3A:F1"`, checkSerial}
	Millisecond = textCheck{`a duration of whole milliseconds like "100ms" or "1s"`, checkMilliseconds}
)

// Text returns a validator of texts from a function that says what is wrong with one. wants describes a valid text. The
// error cites the text, so Text is not for secrets.
func Text(wants string, check func(string) error) validator.String {
	return textCheck{wants, check}
}

var dnsName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckAddress accepts one spelling of every address, since addresses become parts of URLs, which etcd and certificates
// compare letter by letter.
func CheckAddress(text string) error {
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil && !isDNSName(text):
		if plain := strings.TrimSuffix(strings.ToLower(text), "."); isDNSName(plain) {
			return fmt.Errorf("write it as %q", plain)
		}
		return errors.New("this is neither an IP address nor a DNS name")
	case err != nil:
		return nil
	case ip.Zone() != "":
		return errors.New("an address with a zone means something on one machine only")
	case ip.IsUnspecified() || ip.IsMulticast():
		return errors.New("no host has this address")
	case ip.Unmap().String() != text:
		return fmt.Errorf("write it as %q", ip.Unmap())
	}
	return nil
}

func isDNSName(text string) bool { return len(text) <= 253 && dnsName.MatchString(text) }

func checkHTTPS(text string) error {
	if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "https" {
		return errors.New("this is no such address")
	}
	return nil
}

// checkEndpoint accepts the address of a service, without a path, a query or credentials.
func checkEndpoint(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("this is no such address")
	case u.User != nil:
		return errors.New("credentials have attributes of their own")
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("write it as %q; bucket and key have attributes of their own", u.Scheme+"://"+u.Host)
	}
	return nil
}

func checkPath(text string) error {
	switch {
	case !strings.HasPrefix(text, "/"):
		return errors.New("it does not begin with /")
	case path.Clean(text) != text:
		return fmt.Errorf("write it as %q", path.Clean(text))
	case text == "/":
		return errors.New("this is all of the host's file system")
	case strings.ContainsAny(text, "\n\"\\%$"):
		return errors.New(`line breaks and the characters " \ % $ mean something to systemd, which the path is told to`)
	}
	return nil
}

// checkPublicKeys accepts lines of TYPE BASE64 [COMMENT] in which the key itself has the same type.
func checkPublicKeys(text string) error {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			return fmt.Errorf("%q is no public key", strings.TrimSpace(line))
		}
		blob, err := base64.StdEncoding.DecodeString(fields[1])
		if err != nil || !bytes.HasPrefix(blob, binary.BigEndian.AppendUint32(nil, uint32(len(fields[0])))) || !bytes.HasPrefix(blob[4:], []byte(fields[0])) {
			return fmt.Errorf("what stands after %q is no key of that type", fields[0])
		}
	}
	if strings.TrimSpace(text) == "" {
		return errors.New("it is empty")
	}
	return nil
}

// CheckDuration returns what is wrong with a text that has to be a positive duration.
func CheckDuration(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return errors.New("this is no number with a unit (h, m, s, ms)")
	case d <= 0:
		return errors.New("it is not positive")
	}
	return nil
}

func checkLifetime(text string) error {
	if err := CheckDuration(text); err != nil {
		return err
	}
	if d, _ := time.ParseDuration(text); d < pki.MinimumLifetime {
		return errors.New("a certificate would be over before it is of use")
	}
	return nil
}

func checkSerial(text string) error {
	_, err := cert.ParseSerial(text)
	return err
}

func checkMilliseconds(text string) error {
	if err := CheckDuration(text); err != nil {
		return err
	}
	if d, _ := time.ParseDuration(text); d%time.Millisecond != 0 {
		return errors.New("etcd counts in milliseconds")
	}
	return nil
}
