package ssh

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	gossh "golang.org/x/crypto/ssh"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// Auth is what a user shows to be let in: a private key, the keys of an agent, or both, and with
// either of them possibly a certificate. At least one key or the agent is needed.
type Auth struct {
	PrivateKey     secret.Text // text of a private key: OpenSSH, or PEM with PKCS#1, SEC1 or PKCS#8
	PrivateKeyFile string      // path of such a text; ~/ is the home directory. One of the two at most
	Passphrase     secret.Text // opens the private key where it is encrypted; unused where it is not

	Certificate     string // OpenSSH user certificate, the text of an id_*-cert.pub, for one of the keys
	CertificateFile string // path of such a text; ~/ is the home directory. One of the two at most

	Agent       bool   // use the agent that SSH_AUTH_SOCK names
	AgentSocket string // use the agent at this socket; ~/ is the home directory. Implies Agent
	AgentKey    string // public key ("ssh-ed25519 AAAA..."): of the agent's keys offer this one only. Implies Agent
}

// credentials are an Auth that has been read and found good.
type credentials struct {
	key         gossh.Signer       // nil: no private key
	certificate *gossh.Certificate // nil: none
	agentSocket string             // empty: no agent
	agentKey    gossh.PublicKey    // nil: all that the agent has
}

// load reads the files, parses everything and checks that the parts fit together.
func (a Auth) load() (credentials, error) {
	var c credentials
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}

	text, from, err := oneOf("private_key", a.PrivateKey.Reveal(), "private_key_file", a.PrivateKeyFile)
	note(err)
	if text != "" {
		c.key, err = parsePrivateKey(text, from, a.Passphrase)
		note(err)
	}

	text, from, err = oneOf("certificate", a.Certificate, "certificate_file", a.CertificateFile)
	note(err)
	if text != "" {
		c.certificate, err = parseUserCertificate(text, from)
		note(err)
	}

	if a.Agent || a.AgentSocket != "" || a.AgentKey != "" {
		c.agentSocket, err = agentSocket(a.AgentSocket)
		note(err)
	}
	if a.AgentKey != "" {
		c.agentKey, err = parsePublicKey("agent_key", a.AgentKey)
		note(err)
	}

	if len(errs) == 0 {
		note(c.fit())
	}
	return c, errors.Join(errs...)
}

// fit checks what no part can be blamed for alone.
func (c credentials) fit() error {
	switch {
	case c.key == nil && c.agentSocket == "":
		return errors.New("no SSH credentials: set private_key, private_key_file or agent")
	case c.certificate != nil && c.agentSocket == "" && !sameKey(c.certificate.Key, c.key.PublicKey()):
		return fmt.Errorf("certificate %q is for the key %s, and the private key is %s: set the two that belong together",
			c.certificate.KeyId, describeKey(c.certificate.Key), describeKey(c.key.PublicKey()))
	}
	return nil
}

// offers returns the keys to show, the likeliest first: hosts close the connection after some that
// they do not know (MaxAuthTries, 6 by default). The agent that lends signatures is asked until ctx ends.
func (c credentials) offers(ctx context.Context) ([]offer, error) {
	var keys []offer
	if c.key != nil {
		keys = append(keys, offer{c.key, "private_key"})
	}
	if c.agentSocket != "" {
		lent, err := agentOffers(ctx, c.agentSocket, c.agentKey)
		if err != nil {
			return nil, err
		}
		keys = append(keys, lent...)
	}
	if c.certificate == nil {
		return keys, nil
	}
	for _, key := range keys {
		if !sameKey(key.signer.PublicKey(), c.certificate.Key) {
			continue
		}
		certified, err := gossh.NewCertSigner(c.certificate, key.signer)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		return append([]offer{{certified, "certificate"}}, keys...), nil
	}
	return nil, fmt.Errorf("certificate %q is for the key %s, which neither private_key nor the agent has: add that key",
		c.certificate.KeyId, describeKey(c.certificate.Key))
}

// offer is a key shown to a host, and the attribute or the agent that it comes from.
type offer struct {
	signer gossh.Signer
	source string
}

// String names the public half, for the error that says what was tried.
func (o offer) String() string {
	if cert, ok := o.signer.PublicKey().(*gossh.Certificate); ok {
		return fmt.Sprintf("%s (%s)", describeUserCertificate(cert), o.source)
	}
	return fmt.Sprintf("%s (%s)", describeKey(o.signer.PublicKey()), o.source)
}

// oneOf returns the text given inline or the content of the file, and the words that errors name it by.
func oneOf(inlineName, inline, fileName, file string) (text, from string, err error) {
	switch {
	case inline != "" && file != "":
		return "", "", fmt.Errorf("both %s and %s are set: set one of them", inlineName, fileName)
	case file == "":
		return inline, inlineName, nil
	}
	path, err := ExpandHome(file)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", fileName, err)
	}
	if fileName == "private_key_file" {
		if err := keepsSecret(path); err != nil {
			return "", "", fmt.Errorf("%s: %w", fileName, err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", fileName, err)
	}
	if strings.TrimSpace(string(content)) == "" {
		return "", "", fmt.Errorf("%s: %s is empty", fileName, path)
	}
	return string(content), fmt.Sprintf("%s %s", fileName, path), nil
}

// keepsSecret refuses a key file of this user that others may read or write, as OpenSSH does. One that somebody else owns is their
// matter: containers are often given keys like that.
func keepsSecret(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if mode := info.Mode().Perm(); known && int(owner.Uid) == os.Getuid() && mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o, so that others than its owner can read or change the key: chmod 600 %s", path, mode, Quote(path))
	}
	return nil
}

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
