package etcdclient

import (
	"context"
	"crypto/tls"
	"net"
	neturl "net/url"
	"strconv"
	"sync"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Served connects to the member's own client and peer port, and returns the certificate that each serves, by the name
// of its key. A port that serves none is missing. flags are the flags that the member runs with.
func (l Local) Served(ctx context.Context, flags []string) map[string]api.Served {
	ctx, cancel := l.within(ctx)
	defer cancel()
	var client, peer *api.Served
	var looks sync.WaitGroup
	looks.Go(func() {
		at := net.JoinHostPort(Loopback, strconv.Itoa(l.Marker.ClientPort))
		client = l.shown(ctx, at, api.KeyAdmin, api.ClientCAFile(l.Marker.Cluster), new(net.Dialer).DialContext)
	})
	looks.Go(func() {
		if own, err := l.PeerURL(flags); err == nil {
			if at, err := neturl.Parse(own); err == nil && at.Scheme == "https" {
				peer = l.shown(ctx, at.Host, api.KeyPeer, api.PeerCAFile(l.Marker.Cluster), dialFrom(at.Hostname()))
			}
		}
	})
	looks.Wait()
	served := map[string]api.Served{}
	for key, shown := range map[string]*api.Served{api.KeyServer: client, api.KeyPeer: peer} {
		if shown != nil {
			served[key] = *shown
		}
	}
	return served
}

// shown returns the certificate that is served at an address, without verifying it, or nil if there is none. It
// presents a certificate of the host's own, since etcd would log a connection without one.
func (l Local) shown(ctx context.Context, at, key, bundle string, dial func(ctx context.Context, network, to string) (net.Conn, error)) (shown *api.Served) {
	config, err := l.identify(key, bundle)
	if err != nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config.InsecureSkipVerify = true // the certificate is only reported
	config.VerifyConnection = func(state tls.ConnectionState) error {
		info := cert.InfoOf(state.PeerCertificates[0])
		shown = &api.Served{SHA256: info.SHA256, Serial: info.SerialNumber}
		return nil
	}
	plain, err := dial(ctx, "tcp", at)
	if err != nil {
		return nil
	}
	connection := tls.Client(plain, config)
	_ = connection.HandshakeContext(ctx) // a member sends its certificate before it refuses a client
	_ = connection.Close()
	return shown
}
