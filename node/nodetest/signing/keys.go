package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"sync"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest/model"
)

// Key is a private key on a host.
type Key struct {
	crypto.Signer
	id string
}

// Keys are really made, requests really signed and certificates really compared, but once in a process for the same key
// of the same machine: otherwise, properties tried on thousands of worlds would spend all of their time on that.
var (
	keys     cache[Key]
	requests cache[string]
	matches  cache[bool]
)

// cache remembers what was made, by name.
type cache[V any] struct {
	mu   sync.Mutex
	made map[string]V
}

func (c *cache[V]) get(name string, create func() (V, error)) (V, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, there := c.made[name]; there {
		return v, nil
	}
	v, err := create()
	if err != nil {
		return v, err
	}
	if c.made == nil {
		c.made = map[string]V{}
	}
	c.made[name] = v
	return v, nil
}

// NewKey makes the key of this name of a machine, of an algorithm of api.KeyRequest.
func NewKey(machine, name, algorithm string) (Key, error) {
	id := model.Digest("key", machine, name, algorithm)
	return keys.get(id, func() (Key, error) {
		signer, err := newSigner(algorithm)
		return Key{Signer: signer, id: id}, err
	})
}

func newSigner(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "ecdsa-p256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-p384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "rsa-2048":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "rsa-3072":
		return rsa.GenerateKey(rand.Reader, 3072)
	case "rsa-4096":
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return nil, fmt.Errorf("there is no key algorithm %q", algorithm)
}

// OfKind tells whether the key is of the desired algorithm.
func (k Key) OfKind(algorithm string) bool {
	switch public := k.Public().(type) {
	case *ecdsa.PublicKey:
		return algorithm == "ecdsa-p"+fmt.Sprint(public.Params().BitSize)
	case *rsa.PublicKey:
		return algorithm == "rsa-"+fmt.Sprint(public.N.BitLen())
	}
	return false
}

// Request returns the certificate request, PEM, that a host makes for one of its keys.
func (k Key) Request(want api.KeyRequest) (string, error) {
	return requests.get(fmt.Sprintf("%s %v", k.id, want), func() (string, error) {
		template := x509.CertificateRequest{
			Subject:  pkix.Name{CommonName: want.CommonName, Organization: want.Organization},
			DNSNames: want.DNSNames,
		}
		for _, text := range want.IPs {
			ip := net.ParseIP(text)
			if ip == nil {
				return "", fmt.Errorf("%q is no IP address", text)
			}
			template.IPAddresses = append(template.IPAddresses, ip)
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, &template, k)
		if err != nil {
			return "", err
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
	})
}

// Belongs tells whether a certificate is for this key.
func (k Key) Belongs(certificate string) bool {
	if k.Signer == nil {
		return false
	}
	fits, err := matches.get(k.id+" "+certificate, func() (bool, error) {
		block, _ := pem.Decode([]byte(certificate))
		if block == nil {
			return false, nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return false, nil
		}
		public, ok := k.Public().(interface{ Equal(crypto.PublicKey) bool })
		return ok && public.Equal(cert.PublicKey), nil
	})
	return fits && err == nil
}
