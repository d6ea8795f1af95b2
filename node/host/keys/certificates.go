package keys

import (
	"context"
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

// bundleNames are the names by which an observation reports the CA bundles.
var bundleNames = map[string]func(cluster string) string{
	"peer-ca":   api.PeerCAFile,
	"client-ca": api.ClientCAFile,
}

// Held returns what the host holds: certificates by the name of the key pair or bundle, and the list of clients'
// revoked certificates. It looks the system user up once. If it cannot tell who that is, it says nothing of owners.
func (k Keys) Held(ctx context.Context, cluster string) (certificates map[string]api.Certificate, clientCRL string) {
	etcd, known, err := k.SystemUser(ctx)
	known = known && err == nil
	usable := func(info fs.FileInfo) error {
		if !known {
			return nil
		}
		return k.mayRead(cluster, info, etcd)
	}
	exposes := func(info fs.FileInfo, name string) bool { return known && exposed(info, userOf(name, etcd)) }
	return k.certificates(cluster, usable, exposes), k.clientCRL(cluster, usable)
}

// certificates reads the key pairs and bundles. usable refuses a file that the system user cannot read, and exposes
// tells whether others than the user of a key can reach it.
func (k Keys) certificates(cluster string, usable func(fs.FileInfo) error, exposes func(info fs.FileInfo, key string) bool) map[string]api.Certificate {
	held := map[string]api.Certificate{}
	for _, name := range api.KeyNames {
		readable := usable
		if name == api.KeyAdmin {
			readable = func(fs.FileInfo) error { return nil } // root can read all
		}
		c := k.certificate(api.CertificateFile(cluster, name), readable)
		text, info, err := k.read(api.KeyFile(cluster, name))
		var key crypto.Signer
		if err == nil {
			c.Exposed = exposes(info, name)
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

// Unusable returns the name of a key pair or bundle that is missing or cannot be used, or "" if there is none. Until it
// is repaired, a member that does not serve will not start to: etcd reads bundles at its start, and key pairs again at
// each handshake. A nil map means that nobody has looked.
func Unusable(held map[string]api.Certificate) string {
	for _, name := range slices.Sorted(maps.Keys(held)) {
		_, bundle := bundleNames[name]
		if c := held[name]; c.PEM == "" || c.Error != "" || !bundle && !c.HasKey {
			return name
		}
	}
	return ""
}

// certificate reads one file of certificates, which readable must accept.
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
		// The text stays out of the report, which leaves the host: it could be anything.
		return api.Certificate{Error: fmt.Sprintf("%s cannot be used: %s", path, err)}
	}
	return api.Certificate{PEM: string(text)}
}

// clientCRL returns the list of clients' revoked certificates, PEM, or "" if there is none or etcd cannot read it.
func (k Keys) clientCRL(cluster string, usable func(fs.FileInfo) error) string {
	text, info, err := k.read(api.ClientCRLFile(cluster))
	if err != nil || usable(info) != nil {
		return ""
	}
	list, err := x509.ParseRevocationList(text)
	if err != nil || len(list.Raw) != len(text) {
		return ""
	}
	return cert.EncodeRevocationList(list.Raw)
}

// certifies returns an error if a certificate is not for this key.
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
