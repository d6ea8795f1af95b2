package pki

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Authorities are the two authorities of a cluster. With one authority, a client certificate, or any other for the
// client port, would open the peer port, which grants everything.
type Authorities struct {
	Peers   *Authority // signs members' peer certificates
	Clients *Authority // signs the certificates of clients and servers
}

// Parts of the common names of generated authorities.
const (
	namePrefix    = "etcd "
	peersSuffix   = " peers"
	clientsSuffix = " clients"
)

// PeersName returns the common name of a cluster's authority for peers.
func PeersName(name string) string { return namePrefix + name + peersSuffix }

// ClientsName returns the common name of a cluster's authority for clients and servers.
func ClientsName(name string) string { return namePrefix + name + clientsSuffix }

// numbered is a name and the number of an authority that succeeds others of this name.
var numbered = regexp.MustCompile(`^(.*) ([1-9][0-9]{0,5})$`)

// Numberless returns the common name of an authority without the number that Succeeding gives.
func Numberless(commonName string) string {
	if parts := numbered.FindStringSubmatch(commonName); parts != nil {
		return parts[1]
	}
	return commonName
}

// Succeeding returns the common name of the authority that succeeds the authority called before: name, with a number
// that is one higher. Verifiers would mix up two authorities of one subject.
func Succeeding(name, before string) string {
	switch parts := numbered.FindStringSubmatch(before); {
	case before == name:
		return name + " 2"
	case parts != nil && parts[1] == name:
		number, _ := strconv.Atoi(parts[2]) // it has six digits at most
		return fmt.Sprintf("%s %d", name, number+1)
	}
	return name
}

// Number returns the number that Succeeding has given to an authority with this common name. The first authority of a
// cluster is number 1.
func Number(commonName string) int {
	if parts := numbered.FindStringSubmatch(commonName); parts != nil {
		number, _ := strconv.Atoi(parts[2]) // it has six digits at most
		return number
	}
	return 1
}

// IsMadeHere tells whether a common name is that of a generated authority of any cluster. Such a name says what the
// authority is for.
func IsMadeHere(commonName string) bool {
	name := Numberless(commonName)
	return strings.HasPrefix(name, namePrefix) && (strings.HasSuffix(name, peersSuffix) || strings.HasSuffix(name, clientsSuffix))
}

// NewAuthorities generates the two authorities of the cluster called name.
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

// Check refuses two authorities with one key: they would be one authority.
func (a Authorities) Check() error {
	if cert.PublicKeySHA256(a.Peers.certificate) == cert.PublicKeySHA256(a.Clients.certificate) {
		return errors.New("the authorities for peers and for clients have the same key, so that every client certificate would open the peer port; give each its own")
	}
	return nil
}

// For returns the authority for certificates of a profile.
func (a Authorities) For(profile Profile) *Authority {
	if profile == Peer {
		return a.Peers
	}
	return a.Clients
}
