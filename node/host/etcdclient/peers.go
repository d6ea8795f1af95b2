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

// PeersAreDown tells whether no other member serves, though some of their hosts can be reached.
//
// A peer that is only slow is one to compare with: all are asked at the same time, each for as long as etcd would.
func (l Local) PeersAreDown(ctx context.Context, flags []string) bool {
	client, err := l.peerClient(flags)
	if err != nil {
		return false // etcd is to say what is wrong with its certificates
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

// peerPatience is for how long etcd waits for the answer of a peer (its ServerConfig.ReqTimeout).
func peerPatience(flags []string) time.Duration {
	election := time.Second
	if ms, err := strconv.Atoi(api.FlagValue(flags, "election-timeout")); err == nil {
		election = time.Duration(ms) * time.Millisecond
	}
	return 5*time.Second + 2*election
}

// peersOf are the peer URLs of the other members that flags name.
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

// PeerURL is where the member's peers find it: its certificate is good for that address.
func (l Local) PeerURL(flags []string) (string, error) {
	first, _, _ := strings.Cut(api.FlagValue(flags, "initial-advertise-peer-urls"), ",")
	if first == "" {
		return "", fmt.Errorf("find the member's peer URL: %s does not hold --initial-advertise-peer-urls", api.FlagsFile(l.Marker.Cluster))
	}
	return strings.TrimSuffix(first, "/"), nil
}

// peerLook is what was seen of a peer.
type peerLook struct {
	reached bool // its host takes connections to its port, or refuses them
	serves  bool
}

// lookAt asks a peer for its version. One that has only just begun takes connections, and answers nothing on them.
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
	_ = response.Body.Close() // what it says is not asked for
	return peerLook{reached: true, serves: response.StatusCode == http.StatusOK}
}

// peerClient asks peers as the member does, with its own peer certificate and from its own address: a peer refuses who
// comes from another one than the certificate names, and of several the kernel would take the first, on the host itself
// too.
func (l Local) peerClient(flags []string) (*http.Client, error) {
	config, err := l.identify(api.KeyPeer, api.PeerCAFile(l.Marker.Cluster))
	if err != nil {
		return nil, err
	}
	client := direct(config)
	own, err := l.PeerURL(flags)
	if err != nil {
		return client, nil // it has no address of its own yet
	}
	if at, err := neturl.Parse(own); err == nil {
		client.Transport.(*http.Transport).DialContext = dialFrom(at.Hostname())
	}
	return client, nil
}

// dialFrom dials from an address, where the host has it and the other side is of its family, and else from any.
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
