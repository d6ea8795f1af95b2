package pki

import (
	"errors"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Authorities are the two of a cluster. They are two so that the certificate of a client, or of
// anything else that may talk to the client port, never opens the peer port, behind which nothing is
// asked any more.
type Authorities struct {
	Peers   *Authority // signs what members trust each other by
	Clients *Authority // signs what clients and servers trust each other by
}

// Common names of authorities that are made here.
const (
	namePrefix    = "etcd "
	peersSuffix   = " peers"
	clientsSuffix = " clients"
)

// PeersName is the common name of the authority for peers of the cluster called name.
func PeersName(name string) string { return namePrefix + name + peersSuffix }

// ClientsName is that of the authority for clients and servers.
func ClientsName(name string) string { return namePrefix + name + clientsSuffix }

// IsMadeHere tells whether an authority's common name is one of those, of whatever cluster: then it says what the authority
// is for.
func IsMadeHere(commonName string) bool {
	return strings.HasPrefix(commonName, namePrefix) &&
		(strings.HasSuffix(commonName, peersSuffix) || strings.HasSuffix(commonName, clientsSuffix))
}

// NewAuthorities makes the two authorities of the cluster called name.
func NewAuthorities(name string, algorithm Algorithm, lifetime time.Duration, now time.Time) (Authorities, error) {
	peers, err := NewAuthority(PeersName(name), algorithm, lifetime, now)
	if err != nil {
		return Authorities{}, err
	}
	clients, err := NewAuthority(ClientsName(name), algorithm, lifetime, now)
	if err != nil {
		return Authorities{}, err
	}
	return Authorities{Peers: peers, Clients: clients}, nil
}

// Check refuses two authorities with one key: they would be one.
func (a Authorities) Check() error {
	if cert.PublicKeySHA256(a.Peers.certificate) == cert.PublicKeySHA256(a.Clients.certificate) {
		return errors.New("the authorities for peers and for clients have the same key, so that every client certificate would open the peer port; give each its own")
	}
	return nil
}

// For is the authority that signs certificates of a profile.
func (a Authorities) For(profile Profile) *Authority {
	if profile == Peer {
		return a.Peers
	}
	return a.Clients
}
