package order

import (
	"crypto/x509"
	"fmt"
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

// ExtKeyUsages returns the extended key usages of a profile.
func (p Profile) ExtKeyUsages() ([]x509.ExtKeyUsage, error) {
	switch p {
	case Peer, Server:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, nil
	case Client:
		return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil
	}
	return nil, fmt.Errorf("%q is no profile of certificates; it must be %s, %s or %s", string(p), Peer, Server, Client)
}
