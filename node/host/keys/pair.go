package keys

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Pair is a private key with its certificate: parsed, and as PEM with the intermediates that follow it.
type Pair struct {
	Key         crypto.Signer
	Leaf        *x509.Certificate
	Certificate string
}

// Pair reads the pair of this name that the member uses.
func (k Keys) Pair(cluster, name string) (Pair, error) {
	key, err := k.Read(cluster, name)
	if err != nil {
		return Pair{}, fmt.Errorf("read key %s: %w", api.KeyFile(cluster, name), err)
	}
	text, _, err := k.read(api.CertificateFile(cluster, name))
	if err == nil {
		err = certifies(text, key)
	}
	if err != nil {
		return Pair{}, fmt.Errorf("read certificate %s: %w", api.CertificateFile(cluster, name), err)
	}
	leaf, err := cert.ParseLeaf(text)
	return Pair{key, leaf, string(text)}, err
}

// Authorities returns the authorities that the member trusts for certificates of a key.
func (k Keys) Authorities(cluster, name string) ([]*x509.Certificate, error) {
	text, _, err := k.read(api.ForKey(name, api.PeerCAFile, api.ClientCAFile)(cluster))
	if err != nil {
		return nil, err
	}
	return cert.Parse(text)
}

// Replace replaces the pair that the member uses, as PutPair does.
func (k Keys) Replace(cluster, name string, pair Pair, etcd files.Owner) error {
	if err := k.CompletePairs(cluster); err != nil {
		return err
	}
	if err := k.putKey(api.NextKeyFile(cluster, name), name, pair.Key, etcd); err != nil {
		return err
	}
	return k.PutPair(cluster, name, files.File{
		Path: api.CertificateFile(cluster, name), Text: []byte(pair.Certificate), Owner: files.RootFor(etcd), Mode: files.ConfigFile,
	})
}

// AlgorithmOf returns the algorithm of a key, as api.KeyRequest names it, or "" if it is none of those.
func AlgorithmOf(key crypto.Signer) string {
	for _, name := range slices.Sorted(maps.Keys(keyKinds)) {
		if Fits(name, key) {
			return name
		}
	}
	return ""
}
