package host

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// keyKind makes keys of one algorithm, and knows them again.
type keyKind struct {
	make func(io.Reader) (crypto.Signer, error)
	fits func(crypto.Signer) bool
}

// keyKinds are the algorithms, as api.KeyRequest names them.
var keyKinds = map[string]keyKind{
	"ecdsa-p256": ecdsaKind(elliptic.P256()),
	"ecdsa-p384": ecdsaKind(elliptic.P384()),
	"rsa-2048":   rsaKind(2048),
	"rsa-3072":   rsaKind(3072),
	"rsa-4096":   rsaKind(4096),
}

func ecdsaKind(curve elliptic.Curve) keyKind {
	return keyKind{
		make: func(random io.Reader) (crypto.Signer, error) { return ecdsa.GenerateKey(curve, random) },
		fits: func(key crypto.Signer) bool {
			k, ok := key.(*ecdsa.PrivateKey)
			return ok && k.Curve == curve
		},
	}
}

func rsaKind(bits int) keyKind {
	return keyKind{
		make: func(random io.Reader) (crypto.Signer, error) { return rsa.GenerateKey(random, bits) },
		fits: func(key crypto.Signer) bool {
			k, ok := key.(*rsa.PrivateKey)
			return ok && k.N.BitLen() == bits
		},
	}
}

// keyNames are the keys that a host holds for a cluster.
var keyNames = []string{api.KeyPeer, api.KeyServer, api.KeyAdmin}

// readKey reads one of the cluster's private keys; fs.ErrNotExist: it was not made yet. Its errors
// never hold a part of the key.
func (m *Machine) readKey(cluster, name string) (crypto.Signer, error) {
	text, err := os.ReadFile(m.path(api.KeyFile(cluster, name)))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it holds no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("it holds no private key in PKCS #8")
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("it holds a key that cannot sign")
	}
	return key, nil
}

// missingKeys are those of the requests for which no fit key is there.
func (m *Machine) missingKeys(cluster string, requests []api.KeyRequest) ([]api.KeyRequest, error) {
	var missing []api.KeyRequest
	for _, r := range requests {
		key, err := m.readKey(cluster, r.Name)
		var path *fs.PathError
		if errors.As(err, &path) && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err != nil || !keyKinds[r.Algorithm].fits(key) {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

// makeKey makes a private key and writes it where only its user reads it: etcd its own, root the
// administrator's.
func (m *Machine) makeKey(cluster string, r api.KeyRequest, etcd Owner) error {
	key, err := keyKinds[r.Algorithm].make(m.Random)
	if err != nil {
		return fmt.Errorf("make a key of %s: %w", r.Algorithm, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode a key of %s: %w", r.Algorithm, err)
	}
	owner := etcd
	if r.Name == api.KeyAdmin {
		owner = root
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	_, err = m.put(file{api.KeyFile(cluster, r.Name), text, owner, keyFile})
	return err
}

// request is the certificate request for a key: exactly the subject and names that were asked for.
func (m *Machine) request(cluster string, r api.KeyRequest) (string, error) {
	key, err := m.readKey(cluster, r.Name)
	if err != nil {
		return "", fmt.Errorf("read key %s: %w", r.Name, err)
	}
	template := &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: r.CommonName, Organization: r.Organization},
		DNSNames: r.DNSNames,
	}
	for _, text := range r.IPs {
		ip := net.ParseIP(text)
		if ip == nil {
			return "", fmt.Errorf("request a certificate for key %s: %q is no IP address", r.Name, text)
		}
		template.IPAddresses = append(template.IPAddresses, ip)
	}
	der, err := x509.CreateCertificateRequest(m.Random, template, key)
	if err != nil {
		return "", fmt.Errorf("request a certificate for key %s: %w", r.Name, err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}
