package pki

import (
	"crypto/x509"
	"fmt"

	"github.com/cloudflare/cfssl/config"
)

// Profile says what a certificate may be used for.
type Profile string

// Profiles.
const (
	// Peer is for connections between members, as both client and server. A member refuses a peer that connects from an
	// address that its certificate does not name.
	Peer Profile = "peer"
	// Server is for the client port. It also allows use as a client, since etcd's gRPC gateway connects to its own
	// server with the server's certificate.
	Server Profile = "server"
	// Client is for clients of the client port.
	Client Profile = "client"
)

// keyUsage is all that TLS requires of a leaf's key: every cipher suite that etcd offers agrees on a key by (EC)DHE,
// and signs.
const keyUsage = x509.KeyUsageDigitalSignature

// usages returns the extended key usages, by cfssl's names.
func (p Profile) usages() ([]string, error) {
	switch p {
	case Peer, Server:
		return []string{"server auth", "client auth"}, nil
	case Client:
		return []string{"client auth"}, nil
	}
	return nil, fmt.Errorf("%q is no profile of certificates; it must be %s, %s or %s", string(p), Peer, Server, Client)
}

// extKeyUsages returns the extended key usages for crypto/x509.
func (p Profile) extKeyUsages() ([]x509.ExtKeyUsage, error) {
	names, err := p.usages()
	var usages []x509.ExtKeyUsage
	for _, name := range names {
		usages = append(usages, config.ExtKeyUsage[name])
	}
	return usages, err
}
