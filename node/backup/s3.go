package backup

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// StoragePatience is how long hosts retry a request to storage that fails for passing reasons.
const StoragePatience = 5 * time.Minute

// S3Config says where S3-compatible storage is, and with which credentials to use it.
type S3Config struct {
	Endpoint    string      `json:"endpoint"`             // URL; http:// is not encrypted
	Region      string      `json:"region,omitempty"`     // empty: the bucket reports it
	Bucket      string      `json:"bucket"`               // has to exist
	Prefix      string      `json:"prefix,omitempty"`     // in front of all keys; two clusters of one name need two
	PathStyle   bool        `json:"path_style,omitempty"` // the bucket is in URLs' paths instead of their host names
	CA          string      `json:"ca,omitempty"`         // PEM; empty: the host's own authorities
	Credentials Credentials `json:"credentials"`          // empty: the host's own role

	// Patience is how long a request that fails for passing reasons is retried. Time in which bytes move does not
	// count.
	Patience time.Duration `json:"patience"` // nanoseconds
	// UploadPatience is Patience for an upload of which parts have arrived; at least Patience.
	UploadPatience time.Duration `json:"upload_patience,omitempty"` // nanoseconds
}

// Credentials are an access key. They never print their secrets.
type Credentials struct {
	AccessKeyID     string      `json:"access_key_id,omitempty"`
	SecretAccessKey secret.Text `json:"secret_access_key,omitzero"`
	SessionToken    secret.Text `json:"session_token,omitzero"`
}

// Format prints the same for every verb.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.name()) }

// name names the credentials without their secrets.
func (c Credentials) name() string {
	if c.AccessKeyID == "" {
		return "the host's own role"
	}
	return "access key ID " + c.AccessKeyID
}

// S3 is a destination in a bucket.
type S3 struct {
	config  S3Config
	core    *minio.Core
	traffic *traffic
}

const (
	// dialTimeout bounds the time to connect.
	dialTimeout = 10 * time.Second
	// stallTimeout is how long a connection may accept no byte before it counts as broken.
	stallTimeout = 30 * time.Second
	// answerTimeout is how long it may deliver no byte. Storage assembles a large upload before it answers.
	answerTimeout = 2 * time.Minute
)

// NewS3 returns the destination of a configuration. It makes no request yet.
func NewS3(c S3Config) (*S3, error) {
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "https" && endpoint.Scheme != "http" || strings.Trim(endpoint.Path, "/") != "" || endpoint.User != nil {
		return nil, errors.New("S3 endpoint: give a URL with nothing but https:// (or http://), a host, and a port where it is not the usual one")
	}
	if (c.Credentials.AccessKeyID == "") != (c.Credentials.SecretAccessKey.IsEmpty()) {
		return nil, errors.New("S3 credentials: give both access key ID and secret access key, or neither, for the host's own role")
	}
	traffic := &traffic{began: time.Now()}
	transport, err := c.transport(traffic)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupDNS
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds: c.Credentials.provider(transport), Secure: endpoint.Scheme == "https", Transport: transport,
		Region: c.Region, BucketLookup: lookup,
		MaxRetries: 1, // this package retries for as long as the configuration says
	})
	if err != nil {
		return nil, fmt.Errorf("S3 endpoint %s: %w", c.Endpoint, err)
	}
	return &S3{c, core, traffic}, nil
}

// provider returns the access key, or that of the host's role, from a container's environment or the machine's
// metadata service.
func (c Credentials) provider(transport *http.Transport) *credentials.Credentials {
	if c.AccessKeyID == "" {
		direct := transport.Clone()
		direct.Proxy = nil // the metadata service is local
		return credentials.New(&credentials.IAM{Client: &http.Client{Transport: direct, Timeout: dialTimeout}})
	}
	return credentials.NewStaticV4(c.AccessKeyID, c.SecretAccessKey.Reveal(), c.SessionToken.Reveal())
}

// transport returns the HTTP transport.
func (c S3Config) transport(traffic *traffic) (*http.Transport, error) {
	trusted := (*x509.CertPool)(nil) // the host's own
	if c.CA != "" {
		trusted = x509.NewCertPool()
		if !trusted.AppendCertsFromPEM([]byte(c.CA)) {
			return nil, errors.New("S3 ca: there is no certificate in it: give PEM")
		}
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return stallingConn{conn, traffic}, nil
		},
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: readers,
		IdleConnTimeout:     stallTimeout,
		DisableCompression:  true, // the stored bytes are the hashed ones
	}, nil
}

// stallingConn is a connection that breaks once no byte moves any more.
type stallingConn struct {
	net.Conn
	traffic *traffic
}

func (c stallingConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.traffic.move(n)
	return n, err
}

// Write also extends the deadline of reads: the answer comes after the last byte.
func (c stallingConn) Write(p []byte) (int, error) {
	now := time.Now()
	if err := errors.Join(c.SetWriteDeadline(now.Add(stallTimeout)), c.SetReadDeadline(now.Add(answerTimeout))); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.traffic.send(n)
	return n, err
}

// String names the destination in messages.
func (s *S3) String() string {
	return fmt.Sprintf("bucket %s at endpoint %s", s.config.Bucket, s.config.Endpoint)
}

// object returns the name of a key's object in the bucket.
func (s *S3) object(key string) string { return path.Join(s.config.Prefix, key) }

// List implements Source.
func (s *S3) List(ctx context.Context, prefix string) ([]Object, error) {
	var found []Object
	root := strings.TrimSuffix(s.object("x"), "x")
	err := s.patiently(ctx, "list objects", func() error {
		found = nil
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // ends the listing if it is left early
		for object := range s.core.Client.ListObjects(ctx, s.config.Bucket, minio.ListObjectsOptions{Prefix: root + prefix, Recursive: true}) {
			if object.Err != nil {
				return object.Err
			}
			beat(ctx)
			if !strings.HasSuffix(object.Key, "/") { // some storage lists directories
				found = append(found, Object{strings.TrimPrefix(object.Key, root), object.Size, object.LastModified})
			}
		}
		return ctx.Err()
	})
	return found, err
}

// Remove implements Destination.
func (s *S3) Remove(ctx context.Context, key string) error {
	return s.patiently(ctx, "remove "+s.object(key), func() error {
		return s.core.RemoveObject(ctx, s.config.Bucket, s.object(key), minio.RemoveObjectOptions{})
	})
}
