package ssh

import (
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/secret"
)

// parsePrivateKey reads a private key in any of the usual wrappings. from names where the text comes
// from; nothing of the text itself gets into an error.
func parsePrivateKey(text, from string, passphrase secret.Text) (gossh.Signer, error) {
	clean := []byte(unindent(text))
	key, err := rawKey(clean)
	var locked *gossh.PassphraseMissingError
	if errors.As(err, &locked) {
		if passphrase.IsEmpty() {
			return nil, fmt.Errorf("%s is encrypted: set passphrase, or use the agent", from)
		}
		// With a wrong passphrase, old formats decrypt to noise, so any error may follow.
		if key, err = rawLockedKey(clean, passphrase.Reveal()); err != nil {
			return nil, fmt.Errorf("%s: the passphrase does not open it: %w", from, err)
		}
	}
	if err == nil {
		var signer gossh.Signer
		if signer, err = gossh.NewSignerFromKey(key); err == nil {
			return signer, nil
		}
	}
	if hint := commonMistake(text); hint != "" {
		return nil, fmt.Errorf("%s: %s", from, hint)
	}
	return nil, fmt.Errorf("%s is no private key that can be read (OpenSSH, or PEM with PKCS#1, SEC1 or PKCS#8): %w", from, err)
}

// rawKey is gossh.ParseRawPrivateKey, extended to recognize encrypted PKCS#8.
func rawKey(text []byte) (any, error) {
	if block, _ := pem.Decode(text); block != nil && block.Type == pkcs8Block {
		return nil, new(gossh.PassphraseMissingError)
	}
	return gossh.ParseRawPrivateKey(text)
}

func rawLockedKey(text []byte, passphrase string) (any, error) {
	if block, _ := pem.Decode(text); block != nil && block.Type == pkcs8Block {
		return decryptPKCS8(block.Bytes, passphrase)
	}
	return gossh.ParseRawPrivateKeyWithPassphrase(text, []byte(passphrase))
}

// unindent trims each line: keys pasted into a heredoc are indented, which PEM does not allow.
func unindent(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n") + "\n"
}

// commonMistake explains what is often given by mistake instead of a key, or returns "".
func commonMistake(text string) string {
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

// CheckPrivateKey refuses a text that is no private key, as far as that shows without its passphrase. Its error holds
// nothing of the text.
func CheckPrivateKey(text string) error {
	key, err := rawKey([]byte(unindent(text)))
	if locked := (*gossh.PassphraseMissingError)(nil); errors.As(err, &locked) {
		return nil
	}
	if err == nil {
		_, err = gossh.NewSignerFromKey(key)
	}
	if err == nil {
		return nil
	}
	if hint := commonMistake(text); hint != "" {
		return errors.New(hint)
	}
	return fmt.Errorf("it is no private key that can be read (OpenSSH, or PEM with PKCS#1, SEC1 or PKCS#8): %w", err)
}
