package ssh

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// parsePrivateKey reads a private key in any of the usual wrappings. from names where the text comes
// from; nothing of the text itself gets into an error.
func parsePrivateKey(text, from string, passphrase Secret) (gossh.Signer, error) {
	pem := []byte(unindent(text))
	signer, err := gossh.ParsePrivateKey(pem)

	var locked *gossh.PassphraseMissingError
	switch {
	case err == nil:
		return signer, nil
	case errors.As(err, &locked) && passphrase.IsEmpty():
		return nil, fmt.Errorf("%s is encrypted: set passphrase, or use the agent", from)
	case errors.As(err, &locked):
		signer, err = gossh.ParsePrivateKeyWithPassphrase(pem, []byte(passphrase.Reveal()))
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, fmt.Errorf("%s: the passphrase does not open it", from)
		}
		if err == nil {
			return signer, nil
		}
	}
	if hint := whatElse(text); hint != "" {
		return nil, fmt.Errorf("%s: %s", from, hint)
	}
	return nil, fmt.Errorf("%s is no private key that can be read (OpenSSH, or PEM with PKCS#1, SEC1 or PKCS#8): %w", from, err)
}

// unindent drops the space around each line: keys pasted into a heredoc come with its indentation,
// and PEM knows none.
func unindent(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n") + "\n"
}

// whatElse recognizes what people give by mistake; empty: nothing that it knows.
func whatElse(text string) string {
	text = strings.TrimSpace(text)
	switch {
	case strings.HasPrefix(text, "ssh-"), strings.HasPrefix(text, "ecdsa-"):
		return "it is a public key: set the private one, which begins with -----BEGIN"
	case strings.HasPrefix(text, "PuTTY-User-Key-File"):
		return "it is a PuTTY key: convert it with puttygen KEY.ppk -O private-openssh-new"
	case strings.HasPrefix(text, "-----BEGIN") && !strings.Contains(text, "\n"):
		return "it has lost its line breaks: keep the text as the file has it"
	}
	return ""
}
