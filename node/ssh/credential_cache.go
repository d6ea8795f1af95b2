package ssh

import (
	"crypto/sha256"
	"fmt"
	"sync"
)

// credentialCache remembers the credentials that were read: to open an encrypted key takes a tenth of a
// second and more of computing, by design, and all hosts of a cluster usually share one.
type credentialCache struct {
	mu   sync.Mutex
	read map[digest]credentials
}

// load is Auth.load, once for each Auth; failures are tried anew.
func (w *credentialCache) load(a Auth) (credentials, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := a.digest()
	if c, ok := w.read[id]; ok {
		return c, nil
	}
	c, err := a.load()
	if err != nil {
		return credentials{}, err
	}
	if w.read == nil {
		w.read = map[digest]credentials{}
	}
	w.read[id] = c
	return c, nil
}

// digest tells values with secrets in them apart, without being one.
type digest [sha256.Size]byte

func digestOf(format string, values ...any) digest {
	return sha256.Sum256(fmt.Appendf(nil, format, values...))
}

func (a Auth) digest() digest {
	return digestOf("%q %q %q %q %q %t %q %q", a.PrivateKey.Reveal(), a.PrivateKeyFile, a.Passphrase.Reveal(),
		a.Certificate, a.CertificateFile, a.Agent, a.AgentSocket, a.AgentKey)
}

// digest of a target: two that are the same in every respect share a connection, and two that differ
// in credentials or trust do not.
func (t Target) digest() digest {
	var bastion digest
	if t.Bastion != nil {
		bastion = t.Bastion.digest()
	}
	return digestOf("%q %q %x %q %x", t.endpoint(), t.User, t.Auth.digest(),
		append([]string{t.Trust.HostKey, t.Trust.HostCA}, t.Trust.KnownHosts...), bastion)
}
