package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/order"
)

// FuzzSign feeds requests that a hostile host could send, as DER, so that changes get past the PEM.
// Whatever is signed must be exactly what was asked for.
func FuzzSign(f *testing.F) {
	ca, want, holder := authority(f, "ca"), member(), key(f, ECDSAP256)
	add := func(request x509.CertificateRequest) {
		block, _ := pem.Decode(requestPEM(f, request, holder))
		f.Add(block.Bytes)
	}
	add(template(want))
	add(x509.CertificateRequest{})
	for _, c := range smuggled {
		made := template(want)
		c.edit(f, &made)
		add(made)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
		for _, text := range [][]byte{der, encoded} {
			signed, err := ca.Sign(t.Context(), text, want, now)
			if err == nil {
				exact(t, signed, der, want)
			}
			if signed, err = ca.SignRequest(t.Context(), text, want, now); err == nil {
				exact(t, signed, der, want)
			}
		}
		// The signature of a changed request is wrong already. The code that looks at its content must cope with it
		// too.
		if request, err := x509.ParseCertificateRequest(der); err == nil {
			if claims, err := cert.RequestClaims(request); err == nil {
				_ = order.List(claims)
			}
		}
	})
}

func exact(t *testing.T, signed, der []byte, want Request) {
	t.Helper()
	c := parsed(t, signed)
	request, err := x509.ParseCertificateRequest(der)
	if err != nil || !bytes.Equal(c.RawSubjectPublicKeyInfo, request.RawSubjectPublicKeyInfo) {
		t.Errorf("it is for another key, %v", err)
	}
	claims, err := cert.Claims(c)
	if extra, missing := cert.CompareClaims(want.Claims(), claims); err != nil || len(extra)+len(missing) > 0 {
		t.Errorf("it adds %q and lacks %q, %v", extra, missing, err)
	}
}
