// Package remotetest runs a signing server for tests: cfssl's own handler of authenticated calls, behind TLS.
package remotetest

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cloudflare/cfssl/api/signhandler"
	"github.com/cloudflare/cfssl/auth"
	"github.com/cloudflare/cfssl/config"
	"github.com/cloudflare/cfssl/helpers"
	"github.com/cloudflare/cfssl/log"
	"github.com/cloudflare/cfssl/signer"
	"github.com/cloudflare/cfssl/signer/local"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Key is the key by which servers authenticate their callers.
const Key = "00112233445566778899aabbccddeeff"

// backdate is longer than any test waits to run: the server uses the machine's clock, and a test the time of its start.
const backdate = 24 * time.Hour

// Handler signs by an authority with the profiles of cfssl's documentation. edit changes the profiles; nil changes
// nothing.
func Handler(t testing.TB, authority *pki.Authority, edit func(*config.Signing)) http.Handler {
	t.Helper()
	log.Level = log.LevelFatal
	certificate, err := cert.ParseLeaf(authority.CertificatePEM())
	if err != nil {
		t.Fatal(err)
	}
	text, err := authority.PrivateKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	key, err := helpers.ParsePrivateKeyPEM(text)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := auth.New(Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	profile := func(usages ...string) *config.SigningProfile {
		return &config.SigningProfile{Usage: append([]string{"signing", "key encipherment"}, usages...), Expiry: 8760 * time.Hour,
			ExpiryString: "8760h", Backdate: backdate, AuthKeyName: "ours", Provider: provider}
	}
	policy := &config.Signing{
		Profiles: map[string]*config.SigningProfile{"peer": profile("server auth", "client auth"), "server": profile("server auth", "client auth"), "client": profile("client auth")},
		Default:  profile("server auth"),
	}
	if edit != nil {
		edit(policy)
	}
	ca, err := local.NewSigner(key, certificate, signer.DefaultSigAlgo(key), policy)
	if err != nil {
		t.Fatal(err)
	}
	handler, err := signhandler.NewAuthHandlerFromSigner(ca)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v1/cfssl/authsign", handler)
	return mux
}

// Serve starts a server with TLS that runs until the test ends. It returns the server's address and the authority of
// its certificate.
func Serve(t testing.TB, handler http.Handler) (url, ca string) {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	return s.URL, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}
