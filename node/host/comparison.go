package host

import (
	"context"
	"errors"
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

// uncompared is the flag by which a member starts without comparing its data with that of its peers. It comes behind
// all others, and takes nothing but this from the gates that those open.
const uncompared = "--feature-gates=InitialCorruptCheck=false"

// Comparison is what to add to a member's flags where there is nobody to compare its data with.
//
// Before it serves anybody, etcd asks each peer for its hash, one after another, and passes over those that do not
// answer: after 7 s each. It answers no such question itself meanwhile. So members that start together, after a power
// cut say, wait for one another, three of them for 14 s and five for 28 s, and have compared nothing in the end. While
// a restore is under way its run compares them all, until they are started again to open it: from then on nobody does
// but the members.
//
// A peer that is only slow is one to compare with: all are asked at the same time, each for as long as etcd would.
//
// A member that reaches no other host may be one whose network is not up yet: etcd is to wait for that.
func (m *Machine) Comparison(ctx context.Context, cluster string, flags []string) ([]string, error) {
	marker, err := m.marker(cluster)
	if err != nil || marker == nil || !m.hasMember(marker.DataDir) {
		return nil, err // one without data compares nothing
	}
	under, err := m.restoration(cluster)
	if err != nil {
		return nil, err
	}
	if (under == nil || !under.compares(m.Now())) && !m.peersAreDown(ctx, cluster, flags) {
		return nil, nil
	}
	return []string{uncompared}, nil
}

// peersAreDown tells whether no other member serves, though some of their hosts can be reached.
func (m *Machine) peersAreDown(ctx context.Context, cluster string, flags []string) bool {
	client, err := m.peerClient(cluster)
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

// peerClient asks peers as the member does, with its own peer certificate and from its own address: a peer refuses who comes
// from another one than the certificate names, and of several the kernel would take the first, on the host itself too.
func (m *Machine) peerClient(cluster string) (*http.Client, error) {
	config, err := m.identify(cluster, api.KeyPeer, api.PeerCAFile(cluster))
	if err != nil {
		return nil, err
	}
	client := direct(config)
	own, err := m.peerURL(cluster)
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
