package ssh

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// parsePublicKey reads "TYPE BASE64 [COMMENT]". It is strict on purpose: the parser for
// authorized_keys takes a host name or a marker in front of the key for an option and drops it.
//
// No error repeats the text: what is no public key may be a private one in the wrong place.
func parsePublicKey(name, line string) (gossh.PublicKey, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return nil, fmt.Errorf(`%s is no public key: it has to look like "ssh-ed25519 AAAA..."`, name)
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return nil, fmt.Errorf(`%s is no public key: it has to begin with its type, like "ssh-ed25519 AAAA...", with no host name before it`, name)
	}
	key, err := gossh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("%s is no public key, or a part of one: %w", name, err)
	}
	if key.Type() != fields[0] {
		return nil, fmt.Errorf("%s does not begin with the type of its key, %s", name, key.Type())
	}
	return key, nil
}

// marshalKey is the one-line form that parsePublicKey reads.
func marshalKey(key gossh.PublicKey) string {
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(key)))
}

// describeKey names a public key as ssh-keygen -l does, to be compared by eye.
func describeKey(key gossh.PublicKey) string {
	return key.Type() + " " + gossh.FingerprintSHA256(key)
}

func sameKey(a, b gossh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }
