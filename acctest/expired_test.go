package acctest

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/lab"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// TestExpiredEverywhere leaves a cluster alone until the certificates of all members have expired: those of members
// that run on, and then those of members that were started with them, and have no quorum. Each time one plan says so,
// and one apply over SSH mends it.
func TestExpiredEverywhere(t *testing.T) {
	t.Parallel()
	l := up(t, lab.Config{Hosts: members("a", "b", "c")})
	v := &underLoad{workspace: newWorkspace(t, l, configuration(t, l, setup{}))}
	v.apply()
	client := v.client()
	client.must(v.endpoints()[0], "put", "kept", "for two years")
	mended := func(what string) {
		t.Helper()
		planned := strings.Join(v.planned(), "\n")
		for _, member := range []string{"a", "b", "c"} {
			if want := "renew certificates of " + member; !strings.Contains(planned, want) {
				t.Errorf("%s: the plan has no %q:\n%s", what, want, planned)
			}
		}
		if !strings.Contains(planned, "certificate has expired") {
			t.Errorf("%s: the plan does not say that certificates have expired:\n%s", what, planned)
		}
		v.must("apply", "-auto-approve", "-no-color", "saved.plan")
		v.mustBeSettled()
		client.await(v.endpoints(), "get", "kept")
	}
	expire := func() {
		t.Helper()
		for _, h := range l.Hosts {
			for _, key := range api.KeyNames {
				expireCertificate(v.workspace, h, key)
			}
		}
	}

	expire()
	if output, err := client.run(v.endpoints()[0], "get", "kept"); err == nil {
		t.Fatalf("a member is trusted whose certificate has expired: %s", output)
	}
	mended("while members run")

	expire()
	for _, h := range l.Hosts {
		if _, err := h.Run(t.Context(), "systemctl", "stop", "etcd@prod"); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range l.Hosts {
		if _, err := h.Run(t.Context(), "systemctl", "start", "--no-block", "etcd@prod"); err != nil {
			t.Fatal(err)
		}
	}
	mended("after members were started")
}

// expireCertificate puts a certificate on a host that says what the present one does, of the same authority, and
// expired a second after that was made.
func expireCertificate(w *workspace, h *lab.Host, key string) {
	w.t.Helper()
	path := api.CertificateFile("prod", key)
	text, err := h.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	was, err := cert.ParseLeaf([]byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	kind := "client"
	if key == api.KeyPeer {
		kind = "peer"
	}
	attributes, _ := w.state("etcd_pki.prod")
	pair := attributes["authority"].(map[string]any)[kind].(map[string]any)
	authority, err := cert.ParseOne([]byte(pair["certificate"].(string)))
	if err != nil {
		w.t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(pair["private_key"].(string)))
	signer, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	begun := cert.Issued(authority)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: was.Subject, DNSNames: was.DNSNames, IPAddresses: was.IPAddresses,
		NotBefore: authority.NotBefore, NotAfter: begun.Add(time.Second), KeyUsage: was.KeyUsage, ExtKeyUsage: was.ExtKeyUsage,
	}, authority, was.PublicKey, signer)
	if err != nil {
		w.t.Fatal(err)
	}
	expired := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	if _, err := h.Run(w.t.Context(), "sh", "-c", fmt.Sprintf("echo %s | base64 -d >%s", expired, path)); err != nil {
		w.t.Fatal(err)
	}
}
