package etcdclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	neturl "net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// PeersAreDown tells whether no other member serves, although at least one of their hosts can be reached.
//
// It asks all peers at the same time, each for as long as etcd would: a peer that is only slow does serve.
func (l Local) PeersAreDown(ctx context.Context, flags []string) bool {
	client, err := l.peerClient(flags)
	if err != nil {
		// etcd itself reports what is wrong with its certificates.
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, peerPatience(flags))
	defer cancel()
	peers := peersOf(flags)
	looks := make(chan peerLook, len(peers))
	for _, url := range peers {
		go func() { looks <- lookAt(ctx, client, url) }()
	}
	reached := false
	for range peers {
		look := <-looks
		if look.serves {
			return false
		}
		reached = reached || look.reached
	}
	return reached
}

// peerPatience returns how long etcd waits for the answer of a peer (its ServerConfig.ReqTimeout).
func peerPatience(flags []string) time.Duration {
	election := time.Second
	if ms, err := strconv.Atoi(api.FlagValue(flags, "election-timeout")); err == nil {
		election = time.Duration(ms) * time.Millisecond
	}
	return 5*time.Second + 2*election
}

// peersOf returns the peer URLs of the other members in flags.
func peersOf(flags []string) []string {
	own := strings.Split(api.FlagValue(flags, "initial-advertise-peer-urls"), ",")
	var urls []string
	for _, entry := range strings.Split(api.FlagValue(flags, "initial-cluster"), ",") {
		if _, url, named := strings.Cut(entry, "="); named && !slices.Contains(own, url) {
			urls = append(urls, strings.TrimSuffix(url, "/"))
		}
	}
	return urls
}

// PeerURL returns the member's first advertised peer URL, which its peer certificate is valid for.
func (l Local) PeerURL(flags []string) (string, error) {
	first, _, _ := strings.Cut(api.FlagValue(flags, "initial-advertise-peer-urls"), ",")
	if first == "" {
		return "", fmt.Errorf("find the member's peer URL: %s does not hold --initial-advertise-peer-urls", api.FlagsFile(l.Marker.Cluster))
	}
	return strings.TrimSuffix(first, "/"), nil
}

// peerLook is the result of asking a peer.
type peerLook struct {
	reached bool // its host accepts connections to its port, or refuses them
	serves  bool
}

// lookAt asks a peer for its version. A peer that has only just started accepts connections, and answers nothing on
// them.
func lookAt(ctx context.Context, client *http.Client, url string) peerLook {
	var reached atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectDone: func(_, _ string, err error) {
		if err == nil || errors.Is(err, syscall.ECONNREFUSED) {
			reached.Store(true)
		}
	}})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/version", nil)
	if err != nil {
		return peerLook{}
	}
	response, err := client.Do(request)
	if err != nil {
		return peerLook{reached: reached.Load()}
	}
	_ = response.Body.Close() // only the status counts
	return peerLook{reached: true, serves: response.StatusCode == http.StatusOK}
}

// peerClient returns a client that connects to peers as the member does: with its peer certificate and from its own
// address. A peer refuses a connection from another address than the certificate names. If the host has several
// addresses, the kernel would choose the first, even for a connection to the host itself.
func (l Local) peerClient(flags []string) (*http.Client, error) {
	config, err := l.identify(api.KeyPeer, api.PeerCAFile(l.Marker.Cluster))
	if err != nil {
		return nil, err
	}
	client := direct(config)
	own, err := l.PeerURL(flags)
	if err != nil {
		return client, nil // the member has no address yet
	}
	if at, err := neturl.Parse(own); err == nil {
		client.Transport.(*http.Transport).DialContext = dialFrom(at.Hostname())
	}
	return client, nil
}

// dialFrom returns a function that dials from an address. If the host does not have the address, or the other side is
// of another family, it dials from any address.
func dialFrom(address string) func(ctx context.Context, network, to string) (net.Conn, error) {
	return func(ctx context.Context, network, to string) (net.Conn, error) {
		if ip := net.ParseIP(address); ip != nil {
			if bound, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}).DialContext(ctx, network, to); err == nil {
				return bound, nil
			}
		}
		return new(net.Dialer).DialContext(ctx, network, to)
	}
}
