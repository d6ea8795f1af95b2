package backup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

// ErrNoIdentity is what an encrypted backup says that nobody has given an identity for.
var ErrNoIdentity = errors.New("it is encrypted, and no age identity was given: give one that it is encrypted to")

// ErrWrongIdentity is what an encrypted backup says that none of the given identities opens.
var ErrWrongIdentity = errors.New("none of the given age identities opens it: give one that it is encrypted to")

// Recipients are whom backups are encrypted to. The zero value is nobody: they stay in the clear.
type Recipients struct {
	names []string
	keys  []age.Recipient
}

// ParseRecipients reads public keys of age (age1...).
func ParseRecipients(texts ...string) (Recipients, error) {
	var all Recipients
	for _, text := range texts {
		text = strings.TrimSpace(text)
		// What is no public key is not cited: it may be a secret one, given in the wrong place.
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

// encrypt is what a text in the clear is to its recipients.
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

// encryptedSize is at least what a text is when it is encrypted: age adds a header, of less than 4 KiB for
// each recipient, and 16 bytes to every 64 KiB.
func (r Recipients) encryptedSize(clear int64) int64 {
	if len(r.keys) == 0 {
		return clear
	}
	return clear + (clear>>16+1)*16 + int64(len(r.keys)+1)<<12
}

// Identities are secret keys of age. The zero value is none. They print themselves to nobody.
type Identities struct{ keys *[]age.Identity } // a pointer, since fmt looks into slices, and age's keys print themselves

// ParseIdentities reads secret keys of age (AGE-SECRET-KEY-...) as age-keygen writes them: one a line, with
// comments between. An error never cites any of it.
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

// String says nothing of the keys.
func (i Identities) String() string {
	if i.keys == nil {
		return "no age identity"
	}
	return "age identities (secret)"
}

// Decrypt is the text in the clear of what was encrypted.
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

// mayOpen refuses a backup that the identities are known not to open, before any of it is fetched.
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

// publicKey is the public key of a secret one. False: of a kind that is not known here.
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
