package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentSocket returns the configured agent socket, or else the environment's.
func agentSocket(configured string) (string, error) {
	if configured != "" {
		path, err := ExpandHome(configured)
		if err != nil {
			return "", fmt.Errorf("agent_socket: %w", err)
		}
		return path, nil
	}
	if path := os.Getenv("SSH_AUTH_SOCK"); path != "" {
		return path, nil
	}
	return "", errors.New("agent is set, but the environment has no SSH_AUTH_SOCK: start an agent (eval $(ssh-agent); ssh-add KEY) or set agent_socket")
}

// agentOffers returns the keys of an agent, or only the desired one. The agent signs with them over a connection that
// ends with ctx.
func agentOffers(ctx context.Context, socket string, desired gossh.PublicKey) ([]offer, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("SSH agent at %s: %w", socket, err)
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })

	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil, fmt.Errorf("SSH agent at %s: list its keys: %w", socket, err)
	}
	var keys []offer
	for _, signer := range signers {
		if desired == nil || sameKey(plainKey(signer.PublicKey()), desired) {
			keys = append(keys, offer{signer, "agent"})
		}
	}
	switch {
	case len(keys) > 0:
		return keys, nil
	case desired != nil:
		return nil, fmt.Errorf("SSH agent at %s has no key %s: add it with ssh-add", socket, describeKey(desired))
	}
	return nil, fmt.Errorf("SSH agent at %s has no keys: add one with ssh-add", socket)
}

// plainKey returns the key that a certificate is for; any other key is returned as it is.
func plainKey(key gossh.PublicKey) gossh.PublicKey {
	if cert, ok := key.(*gossh.Certificate); ok {
		return cert.Key
	}
	return key
}
