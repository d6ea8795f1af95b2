// Package remote has a cfssl server sign certificates. The key of the authority is in no process of this project.
//
// It speaks the authenticated sign call of cfssl's API over TLS. It tries again if the server is unreachable or says
// that it cannot sign now. Nothing here trusts what the server returns: whoever orders a certificate compares it with
// the order.
package remote

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
)

// Server is a cfssl server, and how to call it.
type Server struct {
	URL string // https://HOST:PORT, with or without a path before cfssl's own
	// Key is shared with the server, which authenticates calls by it: hexadecimal, at least 16 bytes.
	Key   secret.Text
	Label string // of the authority, if the server has several; empty: its only one
	// Profiles are the names of the server's signing profiles. A profile that is missing here has our name on the
	// server.
	Profiles map[order.Profile]string
	// CACertificate has the authorities, PEM, that verify the server's own certificate; empty: the system's.
	CACertificate string
	Direct        bool // ignores the proxy of the environment
}

// Bounds of a call.
const (
	path      = "/api/v1/cfssl/authsign"
	tries     = 5                // the pauses between them double: 15 seconds, and the time of the answers
	pause     = time.Second      // before the second try
	answer    = 30 * time.Second // for one try; a signer in a hardware module takes seconds
	mostBytes = 1 << 20          // in an answer; a certificate has a few thousand
	leastKey  = 16               // bytes; the size that cfssl and its documentation use for an authentication key
)

// Issuer returns an issuer that calls the server, or why the server cannot be called: a line for each attribute at
// fault, which names the attribute. It makes no connection yet.
func (s Server) Issuer() (order.Issuer, error) {
	address, errAddress := s.address()
	key, errKey := s.key()
	trusted, errTrusted := s.trusted()
	if err := errors.Join(errAddress, errKey, errTrusted); err != nil {
		return nil, err
	}
	client := retryablehttp.NewClient()
	client.Logger = nil // nobody reads it
	client.RetryMax, client.RetryWaitMin, client.Backoff = tries-1, pause, backoff
	client.CheckRetry = again
	client.ErrorHandler = retryablehttp.PassthroughErrorHandler // returns the server's last answer as it is
	client.HTTPClient.Timeout = answer
	client.HTTPClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	transport, is := client.HTTPClient.Transport.(*http.Transport)
	if !is {
		return nil, errors.New("the HTTP client has no transport that takes authorities")
	}
	if s.Direct {
		transport.Proxy = nil
	}
	transport.DisableKeepAlives = true // no connection outlives its call
	transport.TLSClientConfig = &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
	return issuer{s, address, key, client}, nil
}

func (s Server) address() (string, error) {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Host == "":
		return "", fmt.Errorf("url: %.200q is not the address of a server; it must be https://HOST:PORT", s.URL)
	case u.User != nil:
		return "", errors.New("url: it holds a user or a password, which would be shown; cfssl tells its callers by auth_key")
	case u.Scheme != "https":
		return "", fmt.Errorf("url: %.200q must begin with https://: certificates are ordered over TLS only", s.URL)
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("url: %.200q must end with the host, its port, or a path", s.URL)
	}
	return u.JoinPath(path).String(), nil
}

// key parses the key. cfssl would also follow `file:` and `env:`, which lead to secrets on the machine that runs
// Terraform.
func (s Server) key() ([]byte, error) {
	key, err := hex.DecodeString(s.Key.Reveal())
	switch {
	case err != nil:
		return nil, errors.New("auth_key: it must be hexadecimal, as in the server's auth_keys")
	case len(key) < leastKey:
		return nil, fmt.Errorf("auth_key: it has %d bytes, and must have at least %d, which are %d hexadecimal digits", len(key), leastKey, 2*leastKey)
	}
	return key, nil
}

func (s Server) trusted() (*x509.CertPool, error) {
	if s.CACertificate == "" {
		return nil, nil
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM([]byte(s.CACertificate)) {
		return nil, errors.New("ca_certificate: it holds no certificate in PEM; it must be the authority that signed the server's own certificate")
	}
	return trusted, nil
}

type issuer struct {
	server  Server
	address string
	key     []byte
	client  *retryablehttp.Client
}

// Requests and responses of cfssl. The server's profile decides the lifetime of certificates: a request cannot ask for
// one.
type (
	signRequest struct {
		Hosts   []string `json:"hosts"`
		Request string   `json:"certificate_request"`
		Subject subject  `json:"subject"`
		Profile string   `json:"profile"`
		Label   string   `json:"label,omitempty"`
	}
	authenticated struct {
		Token   []byte `json:"token"` // the HMAC-SHA256 of the request
		Request []byte `json:"request"`
	}
	subject struct {
		CN    string `json:"CN"`
		Names []name `json:"names"`
	}
	name struct {
		O string `json:"O"`
	}
	response struct {
		Success bool `json:"success"`
		Result  struct {
			Certificate string `json:"certificate"`
		} `json:"result"`
		Errors []struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
)

func (i issuer) String() string { return "the cfssl server at " + i.server.URL }

// Issue asks the server for a certificate.
func (i issuer) Issue(ctx context.Context, o order.Order) ([]byte, error) {
	body, err := i.body(o)
	if err != nil {
		return nil, err
	}
	request, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, i.address, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	certificate, err := i.ask(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s to sign with profile %q: %w", i, i.profile(o), err)
	}
	return certificate, nil
}

func (i issuer) profile(o order.Order) string {
	if profile := i.server.Profiles[o.Profile]; profile != "" {
		return profile
	}
	return string(o.Profile)
}

// body returns the request with its authentication token.
func (i issuer) body(o order.Order) ([]byte, error) {
	sign := signRequest{Hosts: o.Hosts(), Request: string(o.RequestPEM), Subject: subject{CN: o.CommonName}, Profile: i.profile(o), Label: i.server.Label}
	for _, organization := range o.Organization {
		sign.Subject.Names = append(sign.Subject.Names, name{organization})
	}
	call, err := json.Marshal(sign)
	if err != nil {
		return nil, err
	}
	token := hmac.New(sha256.New, i.key)
	token.Write(call)
	return json.Marshal(authenticated{Token: token.Sum(nil), Request: call})
}

// ask sends the request, repeatedly if necessary, and parses the response.
func (i issuer) ask(request *retryablehttp.Request) ([]byte, error) {
	answered, err := i.client.Do(request)
	if err != nil {
		for told := (*url.Error)(nil); errors.As(err, &told); { // the outer error repeats the address
			err = told.Err
		}
		return nil, fmt.Errorf("%w; nothing was signed. Apply again when the server answers, with a certificate that ca_certificate verifies", err)
	}
	defer answered.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answered.Body, mostBytes))
	if err != nil {
		return nil, fmt.Errorf("its answer broke off: %w", err)
	}
	read, is := parse(text)
	switch {
	case !is:
		return nil, fmt.Errorf("it answered %s, and not as cfssl does; is url that of a cfssl server?", answered.Status)
	case len(read.Errors) > 0:
		return nil, fmt.Errorf("it refused: %.200q (code %d). %s", read.Errors[0].Message, read.Errors[0].Code, remedy)
	case !read.Success || read.Result.Certificate == "":
		return nil, fmt.Errorf("it answered %s, without a certificate and without a reason", answered.Status)
	}
	return []byte(read.Result.Certificate), nil
}

const remedy = "Compare auth_key, label and profiles with the server's configuration: the profile has to have an auth_key, and allow what is requested"

// parse parses a response of cfssl, and tells whether the text is one.
func parse(text []byte) (read response, is bool) {
	text = bytes.TrimSpace(text)
	if !bytes.HasPrefix(text, []byte("{")) || json.Unmarshal(text, &read) != nil {
		return response{}, false
	}
	return read, read.Success || len(read.Errors) > 0
}

// backoff returns the pause before the next try. It doubles, whatever the server asks for, since locks are held
// meanwhile.
func backoff(shortest, longest time.Duration, attempt int, _ *http.Response) time.Duration {
	return retryablehttp.DefaultBackoff(shortest, longest, attempt, nil)
}

// final are the statuses, besides success, that another try does not change.
var final = []int{http.StatusInternalServerError, http.StatusNotImplemented}

// again tells whether to try again. It does not after a refusal by cfssl (400 or 500), nor if the server's certificate
// is not trusted.
func again(ctx context.Context, answered *http.Response, err error) (bool, error) {
	if answered != nil && slices.Contains(final, answered.StatusCode) {
		return false, nil
	}
	return retryablehttp.DefaultRetryPolicy(ctx, answered, err)
}
