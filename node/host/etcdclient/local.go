// Package etcdclient asks the member on this host, and its peers: over loopback with the administrator's certificate,
// in the clear over the metrics port, which answers sooner, and as a peer.
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

// Loopback is where members listen for their own host.
const Loopback = "127.0.0.1"

// Local is the member on this host that a marker tells of.
type Local struct {
	Root   string // in front of every path; "/" but in tests
	Marker api.Marker
}

// path is where a path of the host lies for this process.
func (l Local) path(p string) string { return filepath.Join(l.Root, p) }

// Dial makes a client of the member, where somebody listens on its port: of a port that is closed
// the client itself would only say after all of its time that it could not connect.
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
		Logger:    zap.NewNop(), // what goes wrong is in the errors
	})
}

// adminTLS is how the store shows itself to the member: with the administrator's certificate.
func (l Local) adminTLS() (*tls.Config, error) {
	return l.identify(api.KeyAdmin, api.ClientCAFile(l.Marker.Cluster))
}

const (
	// renaming is how long a pair is given to become whole before it is read again, and renamings how often that is
	// done.
	renaming  = 20 * time.Millisecond
	renamings = 25
)

// pair reads one of the cluster's keys with its certificate. It reads two that do not match again, since a renewal puts
// both halves into their places one right behind the other. A half that is missing stays missing.
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
		if err == nil || tries == renamings {
			return pair, err
		}
		time.Sleep(renaming)
	}
}

// identify shows the identity of one of the cluster's keys, and trusts the authorities of one bundle.
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
