package ssh

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	gossh "golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// Trust says what vouches for a host's key. If it is empty, every host is unknown: it is asked for its key, and no
// login is tried. If HostKey is set, only that is accepted. HostCA and KnownHosts add up. A key that a known_hosts file
// marks @revoked is never accepted.
type Trust struct {
	// HostKey is the host's public key, "ssh-ed25519 AAAA..."; several, one per line, while it is being changed.
	HostKey string
	HostCA  string // public key of an authority that signs host certificates; several, one per line
	// KnownHosts are paths of known_hosts files, with @cert-authority, @revoked and hashed names; ~/ is the home
	// directory.
	KnownHosts []string
}

// trust is a loaded Trust, for one endpoint.
type trust struct {
	empty       bool                             // nothing was configured that could vouch for a host
	keys        []gossh.PublicKey                // the host's own keys
	authorities []gossh.PublicKey                // may sign certificates for the host
	revoked     func(key gossh.PublicKey) string // file and line of the mark; empty: none
}

// load loads everything that vouches for the endpoint (host:port).
func (t Trust) load(endpoint string) (*trust, error) {
	pins, err := parseHostKeys("host_key", t.HostKey)
	if err != nil {
		return nil, err
	}
	loaded := &trust{empty: strings.TrimSpace(t.HostKey) == "" && strings.TrimSpace(t.HostCA) == "" && len(t.KnownHosts) == 0,
		revoked: func(gossh.PublicKey) string { return "" }}
	if loaded.authorities, err = parseHostKeys("host_ca", t.HostCA); err != nil {
		return nil, err
	}
	if len(t.KnownHosts) > 0 {
		if err := loaded.addKnownHosts(t.KnownHosts, endpoint); err != nil {
			return nil, err
		}
	}
	if len(pins) > 0 {
		loaded.keys, loaded.authorities = pins, nil
	}
	return loaded, nil
}

// addKnownHosts adds what known_hosts files say about the endpoint.
func (t *trust) addKnownHosts(files []string, endpoint string) error {
	paths := make([]string, len(files))
	for i, file := range files {
		var err error
		if paths[i], err = ExpandHome(file); err != nil {
			return fmt.Errorf("known_hosts: %w", err)
		}
	}
	db, err := knownhosts.NewDB(paths...)
	if err != nil {
		return fmt.Errorf("known_hosts: %w", err)
	}
	for _, key := range db.HostKeys(endpoint) {
		if key.Cert {
			t.authorities = append(t.authorities, key.PublicKey)
		} else {
			t.keys = append(t.keys, key.PublicKey)
		}
	}
	lookup := db.HostKeyCallback()
	t.revoked = func(key gossh.PublicKey) string {
		var mark *xknownhosts.RevokedError
		if errors.As(lookup(endpoint, noAddr{}, key), &mark) {
			return fmt.Sprintf("%s:%d", mark.Revoked.Filename, mark.Revoked.Line)
		}
		return ""
	}
	return nil
}

// noAddr stands for the remote address, which is not checked: names are compared as configured. It looks like an
// address because the lookup requires one.
type noAddr struct{}

func (noAddr) Network() string { return "tcp" }
func (noAddr) String() string  { return net.JoinHostPort("0.0.0.0", "0") }

// parseHostKeys parses public keys, one per line, and refuses those that cannot verify a host.
func parseHostKeys(name, text string) ([]gossh.PublicKey, error) {
	var keys []gossh.PublicKey
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		key, err := parsePublicKey(name, strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(plainAlgorithms, algorithmsOf(key)[0]) {
			return nil, fmt.Errorf("%s: a key of type %s cannot be used for a host", name, key.Type())
		}
		keys = append(keys, key)
	}
	return keys, nil
}
