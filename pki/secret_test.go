package pki

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/big"
	"strings"
	"testing"
)

// traces are the ways in which a P-256 key could show up in a text.
func traces(t *testing.T, pair KeyPair) []string {
	t.Helper()
	text := privateKeyPEM(t, pair)
	block, _ := pem.Decode(text)
	scalar, err := pair.key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	list := func(b []byte) string { return strings.Trim(fmt.Sprint(b), "[]") }
	return []string{
		"PRIVATE KEY", string(text), base64.StdEncoding.EncodeToString(block.Bytes), hex.EncodeToString(scalar),
		new(big.Int).SetBytes(scalar).String(), list(scalar), list(text), base64.StdEncoding.EncodeToString(scalar),
		strings.Split(string(text), "\n")[1], hex.EncodeToString(text[:40]),
	}
}

func TestKeysAreNeverPrinted(t *testing.T) {
	ca, want := authority(t, "ca"), member()
	leaf, err := ca.NewLeaf(t.Context(), want, ECDSAP256, now)
	if err != nil {
		t.Fatal(err)
	}
	type exported struct {
		CA   Authority
		Leaf KeyPair
		At   *Authority
	}
	type hidden struct {
		ca   Authority
		leaf KeyPair
		at   *Authority
		all  []KeyPair
		two  Authorities
	}
	secrets := append(traces(t, ca.KeyPair), traces(t, leaf)...)
	for _, value := range []any{
		ca, *ca, leaf, &leaf, ca.KeyPair, Authorities{Peers: ca, Clients: ca}, []*Authority{ca}, map[string]Authority{"ca": *ca},
		exported{*ca, leaf, ca}, &exported{*ca, leaf, ca},
		hidden{*ca, leaf, ca, []KeyPair{leaf}, Authorities{Peers: ca, Clients: ca}},
		fmt.Errorf("sign by %v: %w", ca, errors.New("no")),
	} {
		var printed strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&printed, verb+"\n", value)
		}
		slog.New(slog.NewTextHandler(&printed, nil)).Info("", "value", value)
		slog.New(slog.NewJSONHandler(&printed, nil)).Info("", "value", value)
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		printed.Write(encoded)
		for _, secret := range secrets {
			if strings.Contains(strings.ToLower(printed.String()), strings.ToLower(secret)) {
				t.Errorf("a %T prints its key", value)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, ca); got != `"ca" (valid until 2041-05-03T07:08:09Z)` {
			t.Errorf("an authority prints by %s as %s", verb, got)
		}
	}
	if got := fmt.Sprint(KeyPair{}); got != "(no certificate)" {
		t.Errorf("nothing prints as %s", got)
	}
}

func TestCfsslIsSilent(t *testing.T) {
	var logged bytes.Buffer
	before := log.Writer()
	log.SetOutput(&logged)
	defer log.SetOutput(before)
	ca, want := authority(t, "ca"), member()
	if _, err := ca.NewLeaf(t.Context(), want, ECDSAP256, now); err != nil {
		t.Fatal(err)
	}
	made := template(want)
	smuggled[0].edit(t, &made)
	if _, err := ca.Sign(t.Context(), requestPEM(t, made, key(t, ECDSAP256)), want, now); err == nil {
		t.Fatal("signed")
	}
	if logged.Len() > 0 {
		t.Errorf("it logs:\n%s", &logged)
	}
}
