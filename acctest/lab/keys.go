package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// KeyFile is the private key that can log in to all hosts.
func (l *Lab) KeyFile() string { return filepath.Join(l.dir, "client") }

// HostCA returns the public key of the authority that signed all hosts' keys, as sshd writes it.
func (l *Lab) HostCA() (string, error) { return readKey(filepath.Join(l.dir, "host-ca.pub")) }

// UserCAFile is the private key of an authority whose user certificates all hosts accept.
func (l *Lab) UserCAFile() string { return filepath.Join(l.dir, "user-ca") }

// KnownHosts returns the text of a known_hosts file with the current keys of all hosts.
func (l *Lab) KnownHosts() (string, error) {
	var lines strings.Builder
	for _, h := range l.Hosts {
		key, err := h.HostKey()
		if err != nil {
			return "", err
		}
		for _, address := range []string{h.Address(), h.Address6()} {
			if h.Config.Port != 22 {
				address = fmt.Sprintf("[%s]:%d", address, h.Config.Port)
			}
			fmt.Fprintln(&lines, address, key)
		}
	}
	return lines.String(), nil
}

// makeKeys makes the lab's keys: the client's, and those of the two authorities.
func (l *Lab) makeKeys() error {
	for _, name := range []string{"client", "host-ca", "user-ca"} {
		if err := makeKey(filepath.Join(l.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// makeKey makes a key pair, replacing an existing one.
func makeKey(file string) error {
	if err := os.RemoveAll(file); err != nil {
		return err
	}
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
