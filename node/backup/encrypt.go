package backup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// ErrNoIdentity is returned for an encrypted backup if no identity was given.
var ErrNoIdentity = errors.New("it is encrypted, and no age identity was given: give one that it is encrypted to")

// ErrWrongIdentity is returned for an encrypted backup that none of the given identities opens.
var ErrWrongIdentity = errors.New("none of the given age identities opens it: give one that it is encrypted to")

// Recipients are the age keys that backups are encrypted to. Its zero value means no encryption.
type Recipients struct {
	names []string
	keys  []age.Recipient
}

// ParseRecipients parses public age keys (age1...).
func ParseRecipients(texts ...string) (Recipients, error) {
	var all Recipients
	for _, text := range texts {
		text = strings.TrimSpace(text)
		// An invalid key is not cited: it may be a secret one in the wrong place.
		if strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-") {
			return Recipients{}, errors.New("an age recipient is a secret key: give the public key that belongs to it (age1...), which age-keygen -y prints")
		}
		keys, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(keys) != 1 {
			return Recipients{}, errors.New("an age recipient is no public key of age: it begins with age1, as age-keygen prints it")
		}
		all.names, all.keys = append(all.names, text), append(all.keys, keys...)
	}
	return all, nil
}

// encrypt encrypts a reader's content to the recipients.
func (r Recipients) encrypt(clear io.Reader) (io.Reader, error) {
	if len(r.keys) == 0 {
		return clear, nil
	}
	encrypted, err := age.EncryptReader(clear, r.keys...)
	if err != nil {
		return nil, fmt.Errorf("encrypt it to %s: %w", strings.Join(r.names, ", "), err)
	}
	return encrypted, nil
}

// encryptedSize returns an upper bound for the encrypted size: age adds a header of less than 4 KiB per recipient, and
// 16 bytes per 64 KiB.
func (r Recipients) encryptedSize(clear int64) int64 {
	if len(r.keys) == 0 {
		return clear
	}
	return clear + (clear>>16+1)*16 + int64(len(r.keys)+1)<<12
}

// Identities are secret age keys. Its zero value has none. It never prints the keys.
type Identities struct{ keys *[]age.Identity } // a pointer, since fmt prints slices, and with them age's keys

// ParseIdentities parses secret age keys (AGE-SECRET-KEY-...), one per line, with comments, as age-keygen writes them.
// Its errors never cite the text.
func ParseIdentities(text string) (Identities, error) {
	var keys []age.Identity
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := age.ParseIdentities(strings.NewReader(line))
		if err != nil {
			return Identities{}, fmt.Errorf("line %d of the age identity is no secret key of age: it begins with AGE-SECRET-KEY-, as age-keygen prints it", n)
		}
		keys = append(keys, key...)
	}
	if lines.Err() != nil || len(keys) == 0 {
		return Identities{}, errors.New("the age identity holds no secret key of age: it begins with AGE-SECRET-KEY-, as age-keygen prints it")
	}
	return Identities{&keys}, nil
}

// String does not reveal the keys.
func (i Identities) String() string {
	if i.keys == nil {
		return "no age identity"
	}
	return "age identities (secret)"
}

// Decrypt decrypts a reader's content.
func (i Identities) Decrypt(encrypted io.Reader) (io.Reader, error) {
	if i.keys == nil {
		return nil, ErrNoIdentity
	}
	clear, err := age.Decrypt(encrypted, *i.keys...)
	if noMatch := (*age.NoIdentityMatchError)(nil); errors.As(err, &noMatch) {
		return nil, ErrWrongIdentity
	}
	return clear, err
}

// mayOpen refuses a backup that the identities certainly cannot open, before any of it is fetched.
func (i Identities) mayOpen(m Manifest) error {
	if !m.Encrypted() {
		return nil
	}
	if i.keys == nil {
		return fmt.Errorf("%s: %w (%s)", m, ErrNoIdentity, strings.Join(m.EncryptedTo, ", "))
	}
	for _, key := range *i.keys {
		public, known := publicKey(key)
		for _, to := range m.EncryptedTo {
			if !known || to == public {
				return nil
			}
		}
	}
	return fmt.Errorf("%s: %w (%s)", m, ErrWrongIdentity, strings.Join(m.EncryptedTo, ", "))
}

// publicKey returns the public key of a secret one; false for a kind of key that is not known here.
func publicKey(key age.Identity) (string, bool) {
	switch key := key.(type) {
	case *age.X25519Identity:
		return key.Recipient().String(), true
	case *age.HybridIdentity:
		return key.Recipient().String(), true
	default:
		return "", false
	}
}
