package host

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// bundleNames are the names under which an observation reports the CA bundles.
var bundleNames = map[string]func(cluster string) string{
	"peer-ca":   api.PeerCAFile,
	"client-ca": api.ClientCAFile,
}

// certificates is what the host holds, by the name of the key pair or bundle.
func (m *Machine) certificates(cluster string) map[string]api.Certificate {
	held := map[string]api.Certificate{}
	for _, name := range api.KeyNames {
		c := m.certificate(api.CertificateFile(cluster, name))
		key, err := m.readKey(cluster, name)
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
		held[name] = m.certificate(path(cluster))
	}
	return held
}

// certificate reads one file of certificates.
func (m *Machine) certificate(path string) api.Certificate {
	text, err := os.ReadFile(m.path(path))
	if errors.Is(err, fs.ErrNotExist) {
		return api.Certificate{}
	}
	if err == nil {
		_, err = cert.Parse(text)
	}
	if err != nil {
		// Without its text: who knows what was put there, and this goes off the host.
		return api.Certificate{Error: fmt.Sprintf("%s cannot be used: %s", path, err)}
	}
	return api.Certificate{PEM: string(text)}
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
