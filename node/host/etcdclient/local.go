// Package etcdclient asks the member on this host, and its peers. It asks the member over loopback with the
// administrator's certificate, over the metrics port without TLS, which answers sooner, and over the peer port as a
// peer.
package etcdclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// Loopback is the address on which members listen for their own host.
const Loopback = "127.0.0.1"

// Local is the member on this host that the marker describes.
type Local struct {
	Root     string // in front of every path; "/" but in tests
	Marker   api.Marker
	patience time.Duration // see After
}

// AskTimeout bounds all questions to the member, which are asked at the same time. A member without a quorum leaves
// some of them unanswered. A loaded member has been seen to take 300 ms.
const AskTimeout = 2500 * time.Millisecond

// After returns the member as it is asked by somebody who has asked it for so long in vain. Each question may take as
// long as all before it: a member on a starved host, or a slow disk, answers each one late.
func (l Local) After(waited time.Duration) Local {
	l.patience = waited
	return l
}

// within bounds questions to the member.
func (l Local) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, max(AskTimeout, l.patience))
}

// path is where a path of the host lies for this process.
func (l Local) path(p string) string { return filepath.Join(l.Root, p) }

// Dial returns a client of the member. It first connects to the member's port itself: the client would report a closed
// port only once the whole time for a request is over.
func (l Local) Dial(ctx context.Context) (*clientv3.Client, error) {
	config, err := l.adminTLS()
	if err != nil {
		return nil, err
	}
	port := net.JoinHostPort(Loopback, strconv.Itoa(l.Marker.ClientPort))
	probe, err := new(net.Dialer).DialContext(ctx, "tcp", port)
	if err != nil {
		return nil, fmt.Errorf("connect to the local member: %w", err)
	}
	if err := probe.Close(); err != nil {
		return nil, fmt.Errorf("connect to the local member: %w", err)
	}
	return clientv3.New(clientv3.Config{
		Context:   ctx,
		Endpoints: []string{"https://" + port},
		TLS:       config,
		Logger:    zap.NewNop(), // errors say what goes wrong
	})
}

// adminTLS returns the TLS configuration by which the store connects to the member: with the administrator's
// certificate.
func (l Local) adminTLS() (*tls.Config, error) {
	return l.identify(api.KeyAdmin, api.ClientCAFile(l.Marker.Cluster))
}

const (
	// pairPoll is how long pair waits before it reads a key and a certificate that do not match again, and pairTries
	// how often it does so.
	pairPoll  = 20 * time.Millisecond
	pairTries = 25
)

// pair reads one of the cluster's keys with its certificate. If the two do not match, pair reads both again, since a
// renewal renames one right after the other. It does not wait for a missing half.
func (l Local) pair(key string) (tls.Certificate, error) {
	for tries := 0; ; tries++ {
		certificate, err := inside.ReadFile(l.path(api.CertificateFile(l.Marker.Cluster, key)))
		if err != nil {
			return tls.Certificate{}, err
		}
		private, err := inside.ReadFile(l.path(api.KeyFile(l.Marker.Cluster, key)))
		if err != nil {
			return tls.Certificate{}, err
		}
		pair, err := tls.X509KeyPair(certificate, private)
		if err == nil || tries == pairTries {
			return pair, err
		}
		time.Sleep(pairPoll)
	}
}

// identify returns a TLS configuration that presents the certificate of one of the cluster's keys, and trusts the
// authorities in one bundle.
func (l Local) identify(key, bundle string) (*tls.Config, error) {
	identity, err := l.pair(key)
	if err != nil {
		return nil, fmt.Errorf("load the %s certificate: %w", key, err)
	}
	text, err := inside.ReadFile(l.path(bundle))
	if err != nil {
		return nil, fmt.Errorf("load the authorities to trust: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("load the authorities to trust: %s holds no certificate", bundle)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{identity}, RootCAs: authorities}, nil
}
