package host

import (
	"crypto/tls"
	"net"
	"slices"
	"strconv"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/etcdflags"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
)

// TestWhichTLSMembersAccept connects to both ports of a real member with each version and kind of suite: by default it
// takes TLS 1.2 with modern suites and TLS 1.3, and on request TLS 1.3 alone.
func TestWhichTLSMembersAccept(t *testing.T) {
	t.Parallel()
	modern := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
	old := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}
	offers := map[string]*tls.Config{
		"TLS 1.1":                   {MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11, CipherSuites: old},
		"TLS 1.2, old suites":       {MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: old},
		"TLS 1.2, modern suites":    {MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: modern},
		"TLS 1.2, the first modern": {MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: modern[:1]},
		"TLS 1.3":                   {MinVersion: tls.VersionTLS13},
	}
	for name, c := range map[string]struct {
		says     map[string]string
		accepted []string
	}{
		"by default": {map[string]string{}, []string{"TLS 1.2, modern suites", "TLS 1.2, the first modern", "TLS 1.3"}},
		"on request": {map[string]string{"tls-min-version": "TLS1.3"}, []string{"TLS 1.3"}},
	} {
		f := newcomer(t, newAuthority(t), "a")
		f.configure(t, []*fleetMember{f}, "new")
		etcdflags.SetTLS(c.says)
		for flag, value := range c.says {
			f.config.Flags = append(f.config.Flags, "--"+flag+"="+value)
		}
		f.apply(t)
		f.start(t)
		f.await(t, api.AwaitRequest{Members: 1})
		for port, key := range map[int]string{f.marker.ClientPort: api.KeyAdmin, f.marker.PeerPort: api.KeyPeer} {
			identity, err := tls.LoadX509KeyPair(f.path(api.CertificateFile("main", key)), f.path(api.KeyFile("main", key)))
			if err != nil {
				t.Fatal(err)
			}
			for offer, config := range offers {
				config := config.Clone()
				config.InsecureSkipVerify, config.Certificates = true, []tls.Certificate{identity}
				connection, err := tls.Dial("tcp", net.JoinHostPort(etcdclient.Loopback, strconv.Itoa(port)), config)
				if err == nil {
					_ = connection.Close()
				}
				if slices.Contains(c.accepted, offer) != (err == nil) {
					t.Errorf("%s, %s at the port that the %s certificate connects to: %v", name, offer, key, err)
				}
			}
		}
	}
}
