package pki

import (
	"crypto/x509"
	"fmt"

	"github.com/cloudflare/cfssl/config"
)

// Profile is what a certificate may be used for.
type Profile string

// Profiles.
const (
	// Peer is for members among themselves: each of them both dials and is dialed. A member refuses
	// whoever dials it from an address that his peer certificate does not name.
	Peer Profile = "peer"
	// Server is for the client port. It may be used as a client as well, since etcd's own gRPC gateway
	// dials its server with the server's certificate.
	Server Profile = "server"
	// Client is for whoever talks to the client port, and can serve nothing.
	Client Profile = "client"
)

// keyUsage is all that TLS wants of a leaf's key: every cipher suite that etcd still offers agrees on
// a key by (EC)DHE, and signs.
const keyUsage = x509.KeyUsageDigitalSignature

// usages are the extended key usages, under cfssl's names.
func (p Profile) usages() ([]string, error) {
	switch p {
	case Peer, Server:
		return []string{"server auth", "client auth"}, nil
	case Client:
		return []string{"client auth"}, nil
	}
	return nil, fmt.Errorf("%q is no profile of certificates; it must be %s, %s or %s", string(p), Peer, Server, Client)
}

// extKeyUsages are the same for crypto/x509.
func (p Profile) extKeyUsages() ([]x509.ExtKeyUsage, error) {
	names, err := p.usages()
	var usages []x509.ExtKeyUsage
	for _, name := range names {
		usages = append(usages, config.ExtKeyUsage[name])
	}
	return usages, err
}
