package lab

import (
	"os"
	"path/filepath"
	"strings"
)

// KeyFile is the private key that logs in to all hosts.
func (l *Lab) KeyFile() string { return filepath.Join(l.dir, "client") }

// HostCA is the public key of the authority that has signed all hosts' keys, as sshd writes it.
func (l *Lab) HostCA() (string, error) { return readKey(filepath.Join(l.dir, "host-ca.pub")) }

// UserCAFile is the private key of an authority whose user certificates all hosts take.
func (l *Lab) UserCAFile() string { return filepath.Join(l.dir, "user-ca") }

// makeKeys makes the keys of the lab: the client's, and those of the two authorities.
func (l *Lab) makeKeys() error {
	for _, name := range []string{"client", "host-ca", "user-ca"} {
		if err := makeKey(filepath.Join(l.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func makeKey(file string) error {
	return run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", file)
}

// readKey reads a public key without its comment.
func readKey(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:2], " "), nil
}
