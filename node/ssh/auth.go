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

// Auth is how a user logs in: a private key, the keys of an agent, or both, possibly with a certificate. At least one
// key or the agent is required.
type Auth struct {
	PrivateKey     secret.Text // text of a private key: OpenSSH, or PEM with PKCS#1, SEC1 or PKCS#8
	PrivateKeyFile string      // path of such a text; ~/ is the home directory. At most one of the two
	Passphrase     secret.Text // for an encrypted private key; otherwise unused

	Certificate     string // OpenSSH user certificate, the text of an id_*-cert.pub, for one of the keys
	CertificateFile string // path of such a text; ~/ is the home directory. One of the two at most

	Agent       bool   // use the agent that SSH_AUTH_SOCK names
	AgentSocket string // use the agent at this socket; ~/ is the home directory. Implies Agent
	AgentKey    string // public key ("ssh-ed25519 AAAA..."): offer only this key of the agent. Implies Agent
}

// credentials are the parsed and checked content of an Auth.
type credentials struct {
	key         gossh.Signer       // nil: no private key
	certificate *gossh.Certificate // nil: none
	agentSocket string             // empty: no agent
	agentKey    gossh.PublicKey    // nil: all that the agent has
}

// load reads the files, parses everything, and checks that the parts fit together.
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
		note(c.check())
	}
	return c, errors.Join(errs...)
}

// check refuses parts that do not fit together.
func (c credentials) check() error {
	switch {
	case c.key == nil && c.agentSocket == "":
		return errors.New("no SSH credentials: set private_key, private_key_file or agent")
	case c.certificate != nil && c.agentSocket == "" && !sameKey(c.certificate.Key, c.key.PublicKey()):
		return fmt.Errorf("certificate %q is for the key %s, and the private key is %s: set the two that belong together",
			c.certificate.KeyId, describeKey(c.certificate.Key), describeKey(c.key.PublicKey()))
	}
	return nil
}

// offers returns the keys to offer, the likeliest first: hosts disconnect after several unknown keys (MaxAuthTries, 6
// by default). The agent is used until ctx ends.
func (c credentials) offers(ctx context.Context) ([]offer, error) {
	var keys []offer
	if c.key != nil {
		keys = append(keys, offer{c.key, "private_key"})
	}
	if c.agentSocket != "" {
		agentKeys, err := agentOffers(ctx, c.agentSocket, c.agentKey)
		if err != nil {
			return nil, err
		}
		keys = append(keys, agentKeys...)
	}
	if c.certificate == nil {
		return keys, nil
	}
	for _, key := range keys {
		if !sameKey(key.signer.PublicKey(), c.certificate.Key) {
			continue
		}
		certSigner, err := gossh.NewCertSigner(c.certificate, key.signer)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		return append([]offer{{certSigner, "certificate"}}, keys...), nil
	}
	return nil, fmt.Errorf("certificate %q is for the key %s, which neither private_key nor the agent has: add that key",
		c.certificate.KeyId, describeKey(c.certificate.Key))
}

// offer is a key offered to a host, and the attribute or agent that it comes from.
type offer struct {
	signer gossh.Signer
	source string
}

// String names the public key, for the error that says what was tried.
func (o offer) String() string {
	if cert, ok := o.signer.PublicKey().(*gossh.Certificate); ok {
		return fmt.Sprintf("%s (%s)", describeUserCertificate(cert), o.source)
	}
	return fmt.Sprintf("%s (%s)", describeKey(o.signer.PublicKey()), o.source)
}

// oneOf returns the inline text or the content of the file, and how errors name it.
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

// keepsSecret refuses a key file of this user that others may read or write, as OpenSSH does. One that somebody else
// owns is their matter: containers are often given keys like that.
func keepsSecret(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil // reading the file reports why that fails
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if mode := info.Mode().Perm(); known && int(owner.Uid) == os.Getuid() && mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o, so that others than its owner can read or change the key: chmod 600 %s", path, mode, Quote(path))
	}
	return nil
}

// credentialCache caches loaded credentials: decrypting a private key takes a tenth of a second and more, by design,
// and all hosts of a cluster usually share one.
type credentialCache struct {
	mu   sync.Mutex
	read map[digest]credentials
}

// load is Auth.load, once per Auth; failures are not cached.
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

// digest identifies values that contain secrets, without revealing them.
type digest [sha256.Size]byte

func digestOf(format string, values ...any) digest {
	return sha256.Sum256(fmt.Appendf(nil, format, values...))
}

func (a Auth) digest() digest {
	return digestOf("%q %q %q %q %q %t %q %q", a.PrivateKey.Reveal(), a.PrivateKeyFile, a.Passphrase.Reveal(),
		a.Certificate, a.CertificateFile, a.Agent, a.AgentSocket, a.AgentKey)
}

// digest identifies a target: equal targets share a connection, and targets that differ in credentials or trust do
// not.
func (t Target) digest() digest {
	var bastion digest
	if t.Bastion != nil {
		bastion = t.Bastion.digest()
	}
	return digestOf("%q %q %x %q %x", t.endpoint(), t.User, t.Auth.digest(),
		append([]string{t.Trust.HostKey, t.Trust.HostCA}, t.Trust.KnownHosts...), bastion)
}
