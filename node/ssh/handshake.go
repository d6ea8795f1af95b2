package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	gossh "golang.org/x/crypto/ssh"
)

// handshake is the exchange with one host from the first byte to the login. It records how far it came, for its error.
type handshake struct {
	target Target
	offers []offer
	config *gossh.ClientConfig

	mu         sync.Mutex
	verified   bool     // the host has proved its identity
	distrusted error    // why the host's key was not accepted
	methods    []string // authentication methods that the host allows
	banner     string   // the host's login banner
}

// bannerLimit is how many bytes of a host's banner an error cites.
const bannerLimit = 500

// defaultAuthTries is the number of keys that sshd accepts by default (MaxAuthTries).
const defaultAuthTries = 6

// newHandshake prepares the handshake. ctx also bounds the use of the agent.
func newHandshake(ctx context.Context, d loadedTarget, opts Options) (*handshake, error) {
	offers, err := d.credentials.offers(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAuth, err)
	}
	signers := make([]gossh.Signer, len(offers))
	for i, o := range offers {
		signers[i] = o.signer
	}
	// The library's defaults include some SHA-1; what it calls supported has hardly any.
	supported := gossh.SupportedAlgorithms()
	h := &handshake{target: d.Target, offers: offers}
	h.config = &gossh.ClientConfig{
		Config: gossh.Config{
			KeyExchanges: supported.KeyExchanges,
			Ciphers:      supported.Ciphers,
			MACs:         supported.MACs,
		},
		User:              d.User,
		Auth:              []gossh.AuthMethod{gossh.PublicKeys(signers...)},
		AuthCallback:      h.noteMethods,
		BannerCallback:    h.noteBanner,
		HostKeyCallback:   h.noteHostKey(d.trust.verify(d.Target, opts.Now)),
		HostKeyAlgorithms: d.trust.algorithms(),
	}
	return h, nil
}

// run proceeds to the login, or until ctx ends. After an error the caller has to close the link.
func (h *handshake) run(ctx context.Context, l *link) (*gossh.Client, error) {
	type result struct {
		client *gossh.Client
		err    error
	}
	finished := make(chan result, 1)
	go func() {
		conn, channels, requests, err := gossh.NewClientConn(l, h.target.endpoint(), h.config)
		if err != nil {
			finished <- result{err: err}
			return
		}
		finished <- result{client: gossh.NewClient(conn, channels, requests)}
	}()
	select {
	case r := <-finished:
		if r.err != nil {
			return nil, h.failure(r.err, l)
		}
		return r.client, nil
	case <-ctx.Done():
		// Streams through a bastion have no deadlines: the handshake goroutine ends when the caller closes the link.
		return nil, transient{fmt.Errorf("%w: it accepts connections, and then the %s stops: %w",
			ErrUnreachable, h.stage(), context.Cause(ctx))}
	}
}

// failure explains a failed handshake, and marks it transient if it may pass.
func (h *handshake) failure(err error, l *link) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var negotiation *gossh.AlgorithmNegotiationError
	switch broken := l.failure(); {
	case h.distrusted != nil:
		return h.distrusted
	// A host that is booting, or has too many logins under way, closes the connection.
	case broken != nil && !h.verified:
		return transient{fmt.Errorf("%w: the host closed the connection during the handshake: %w", ErrUnreachable, broken)}
	case broken != nil:
		return transient{fmt.Errorf("%w: the host closed the connection during the login%s: %w", ErrUnreachable, h.bannerText(), broken)}
	case errors.As(err, &negotiation):
		return fmt.Errorf("%w: no algorithm in common: %w", ErrUnreachable, err)
	case !h.verified:
		return fmt.Errorf("%w: what answers does not talk SSH as it should: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("%w: the host does not accept %s for user %s; it allows %s%s: %w: %s",
		ErrAuth, h.tried(), h.target.User, strings.Join(h.methods, ", "), h.bannerText(), err, h.remedy())
}

// stage names the phase of the handshake.
func (h *handshake) stage() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.verified {
		return "login"
	}
	return "handshake"
}

func (h *handshake) tried() string {
	names := make([]string, len(h.offers))
	for i, o := range h.offers {
		names[i] = o.String()
	}
	return strings.Join(names, " or ")
}

// remedy says what to do about a refused login.
func (h *handshake) remedy() string {
	switch {
	case len(h.methods) > 0 && !slices.Contains(h.methods, "publickey"):
		return "allow public keys in its sshd (PubkeyAuthentication, AuthenticationMethods)"
	case len(h.offers) > defaultAuthTries:
		return "it may have been offered too many keys: name the agent's right one in agent_key"
	}
	return "add the key to the account's authorized_keys, or set the user and the key that are there"
}

func (h *handshake) bannerText() string {
	if h.banner == "" {
		return ""
	}
	return fmt.Sprintf(", and says %q", h.banner)
}

func (h *handshake) noteHostKey(verify gossh.HostKeyCallback) gossh.HostKeyCallback {
	return func(hostname string, remote net.Addr, key gossh.PublicKey) error {
		err := verify(hostname, remote, key)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.verified, h.distrusted = err == nil, err
		return err
	}
}

// noteMethods records the allowed methods, and leaves the choice to the library.
func (h *handshake) noteMethods(auth *gossh.ClientAuthContext) (gossh.AuthMethod, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.methods = auth.AllowedMethods
	return nil, nil
}

func (h *handshake) noteBanner(message string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.banner = strings.TrimSpace(message)
	if len(h.banner) > bannerLimit {
		h.banner = h.banner[:bannerLimit] + "..."
	}
	return nil
}
