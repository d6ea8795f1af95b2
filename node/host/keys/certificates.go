package keys

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// bundleNames are the names under which an observation reports the CA bundles.
var bundleNames = map[string]func(cluster string) string{
	"peer-ca":   api.PeerCAFile,
	"client-ca": api.ClientCAFile,
}

// Certificates is what the host holds, by the name of the key pair or bundle.
func (k Keys) Certificates(cluster string) map[string]api.Certificate {
	held := map[string]api.Certificate{}
	etcd, known, err := k.SystemUser()
	known = known && err == nil // else nothing is said of owners
	usable := func(info fs.FileInfo) error {
		if !known {
			return nil
		}
		return k.mayRead(cluster, info, etcd)
	}
	for _, name := range api.KeyNames {
		readable := usable
		if name == api.KeyAdmin {
			readable = func(fs.FileInfo) error { return nil } // root's
		}
		c := k.certificate(api.CertificateFile(cluster, name), readable)
		text, info, err := k.read(api.KeyFile(cluster, name))
		var key crypto.Signer
		if err == nil {
			c.Exposed = known && exposed(info, userOf(name, etcd))
			if key, err = parseKey(text); err == nil {
				err = readable(info)
			}
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.NoKey = true
		case err != nil:
			c.Error = fmt.Sprintf("key %s cannot be used: %s", api.KeyFile(cluster, name), err)
		case c.PEM != "" && c.Error == "":
			c.HasKey = certifies([]byte(c.PEM), key) == nil
		}
		held[name] = c
	}
	for name, path := range bundleNames {
		held[name] = k.certificate(path(cluster), usable)
	}
	return held
}

// Unusable is the key pair or bundle of a member that is missing, or that cannot be used; empty: all can. A member that does not
// serve will not do so before it is mended: etcd reads them at its start, and its key pairs at each handshake again. nil: nobody
// has looked.
func Unusable(held map[string]api.Certificate) string {
	for _, name := range slices.Sorted(maps.Keys(held)) {
		_, bundle := bundleNames[name]
		if c := held[name]; c.PEM == "" || c.Error != "" || !bundle && !c.HasKey {
			return name
		}
	}
	return ""
}

// certificate reads one file of certificates, which has to be readable for those who read it.
func (k Keys) certificate(path string, readable func(fs.FileInfo) error) api.Certificate {
	text, info, err := k.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return api.Certificate{}
	}
	if err == nil {
		_, err = cert.Parse(text)
	}
	if err == nil {
		err = readable(info)
	}
	if err != nil {
		// Without its text: who knows what was put there, and this goes off the host.
		return api.Certificate{Error: fmt.Sprintf("%s cannot be used: %s", path, err)}
	}
	return api.Certificate{PEM: string(text)}
}

// ClientCRL is the list of clients' revoked certificates, PEM, as etcd reads it; empty: there is none, or etcd cannot read it.
func (k Keys) ClientCRL(cluster string) string {
	text, info, err := k.read(api.ClientCRLFile(cluster))
	if err != nil {
		return ""
	}
	if etcd, known, err := k.SystemUser(); err == nil && known && k.mayRead(cluster, info, etcd) != nil {
		return ""
	}
	list, err := x509.ParseRevocationList(text)
	if err != nil || len(list.Raw) != len(text) {
		return ""
	}
	return cert.EncodeRevocationList(list.Raw)
}

// certifies says why a certificate is not one of this key; nil: it is.
func certifies(text []byte, key crypto.Signer) error {
	leaf, err := cert.ParseLeaf(text)
	if err != nil {
		return err
	}
	if !cert.IsFor(leaf, key.Public()) {
		return errors.New("it certifies another key")
	}
	return nil
}
