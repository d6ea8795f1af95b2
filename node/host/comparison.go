package host

import (
	"context"
	"net/http"
	"slices"
	"strings"

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
// a restore is under way its run compares them all.
func (m *Machine) Comparison(ctx context.Context, cluster string, flags []string) ([]string, error) {
	marker, err := m.marker(cluster)
	if err != nil || marker == nil || !m.hasMember(marker.DataDir) {
		return nil, err // one without data compares nothing
	}
	under, err := m.restoration(cluster)
	if err != nil {
		return nil, err
	}
	if under == nil && m.hasPeer(ctx, cluster, flags) {
		return nil, nil
	}
	return []string{uncompared}, nil
}

// hasPeer tells whether any other member answers.
func (m *Machine) hasPeer(ctx context.Context, cluster string, flags []string) bool {
	client, err := m.peerClient(cluster)
	if err != nil {
		return true // etcd is to say what is wrong with its certificates
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	peers := peersOf(flags)
	answers := make(chan bool, len(peers))
	for _, url := range peers {
		go func() { answers <- answers200(ctx, client, url+"/version") }()
	}
	for range peers {
		if <-answers {
			return true
		}
	}
	return false
}

// peersOf are the peer URLs of the other members that flags name.
func peersOf(flags []string) []string {
	own := strings.Split(flagValue(flags, "initial-advertise-peer-urls"), ",")
	var urls []string
	for _, entry := range strings.Split(flagValue(flags, "initial-cluster"), ",") {
		if _, url, named := strings.Cut(entry, "="); named && !slices.Contains(own, url) {
			urls = append(urls, strings.TrimSuffix(url, "/"))
		}
	}
	return urls
}

// answers200 tells whether a URL is answered with 200. A member that has only just begun takes connections, and answers
// nothing on them.
func answers200(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // what it says is not asked for
	return response.StatusCode == http.StatusOK
}

// peerClient asks peers as the member does, with its own peer certificate.
func (m *Machine) peerClient(cluster string) (*http.Client, error) {
	config, err := m.identify(cluster, api.KeyPeer, api.PeerCAFile(cluster))
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}, nil
}
