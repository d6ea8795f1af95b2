package backup

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
)

func TestFetchWithoutTheIdentity(t *testing.T) {
	_, public := identity(t)
	another, other := identity(t)
	d := directory(t)
	m := mustStore(t, d, noise(1000, 1), 1, recipients(t, public))
	err := Fetch(t.Context(), d, m, Identities{}, io.Discard)
	mustSay(t, err, m.String(), public)
	if !errors.Is(err, ErrNoIdentity) {
		t.Errorf("none: %v", err)
	}
	err = Fetch(t.Context(), d, m, another, io.Discard)
	mustSay(t, err, m.String(), public)
	if !errors.Is(err, ErrWrongIdentity) {
		t.Errorf("another: %v", err)
	}
	m.EncryptedTo = []string{other} // a manifest that names the wrong recipients
	if err = Fetch(t.Context(), d, m, another, io.Discard); !errors.Is(err, ErrWrongIdentity) {
		t.Errorf("another, by a wrong manifest: %v", err)
	}
}

func TestPostQuantumRecipients(t *testing.T) {
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := ParseIdentities("# created by age-keygen\n\n" + key.String() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	d, text := directory(t), noise(200_000, 5)
	mustFetch(t, d, mustStore(t, d, text, 1, recipients(t, key.Recipient().String())), secret, text)
	_, classic := identity(t)
	if _, err := recipients(t, key.Recipient().String(), classic).encrypt(strings.NewReader("")); err == nil {
		t.Error("a file that one of its recipients makes weaker than the other is made")
	}
}

// TestKeysStayHidden holds that neither an error nor a printed value reveals a secret key.
func TestKeysStayHidden(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	secret := key.String()
	parsed, err := ParseIdentities(secret)
	if err != nil {
		t.Fatal(err)
	}
	_, wrongPlace := ParseRecipients(secret)
	_, lower := ParseRecipients(strings.ToLower(secret))
	_, cutOff := ParseIdentities(key.String() + "\n" + secret[:len(secret)-4])
	_, twice := ParseIdentities(secret + secret)
	for _, err := range []error{wrongPlace, lower, cutOff, twice} {
		if err == nil {
			t.Error("what is no key is taken for one")
		}
	}
	nested := struct{ In Identities }{parsed}
	said := fmt.Sprintf("%v %+v %#v %s %q %v %+v %#v", parsed, parsed, parsed, parsed, parsed, nested, nested, nested) +
		fmt.Sprint(wrongPlace, lower, cutOff, twice)
	for _, part := range []string{secret[15:40], secret[40:60]} {
		if strings.Contains(strings.ToUpper(said), part) {
			t.Errorf("it tells %s of the key: %s", part, said)
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for _, text := range []string{"", "# only a comment\n", "ssh-ed25519 AAAA", "age1", strings.Repeat("x", 1<<17)} {
		if _, err := ParseIdentities(text); err == nil {
			t.Errorf("an identity is %.20q", text)
		}
		if _, err := ParseRecipients(text); err == nil {
			t.Errorf("a recipient is %.20q", text)
		}
	}
}
