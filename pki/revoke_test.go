package pki

import (
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// TestRevoke has each kind of authority revoke certificates: the list names them, openssl agrees, and the list is the
// same each time.
func TestRevoke(t *testing.T) {
	now := time.Now()
	for _, algorithm := range Algorithms() {
		t.Run(string(algorithm), func(t *testing.T) {
			authority, err := NewAuthority("etcd main clients", algorithm, 24*time.Hour, now)
			if err != nil {
				t.Fatal(err)
			}
			large, _ := new(big.Int).SetString("00ff11223344556677889900112233445566778899", 16)
			text, err := authority.Revoke([]*big.Int{large, big.NewInt(7), large}, 3)
			if err != nil {
				t.Fatal(err)
			}
			again, err := authority.Revoke([]*big.Int{big.NewInt(7), large}, 3)
			if err != nil || again != text {
				t.Errorf("another time the list is another one, %v", err)
			}
			list, err := cert.ParseRevocationList([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			ca, _ := cert.ParseOne(authority.CertificatePEM())
			if err := list.CheckSignatureFrom(ca); err != nil || list.Number.Int64() != 3 || len(list.RevokedCertificateEntries) != 2 ||
				list.ThisUpdate.After(now) || !list.NextUpdate.Equal(ca.NotAfter) {
				t.Errorf("the list is %+v, %v", list, err)
			}
			other, err := NewAuthority("etcd main clients", algorithm, 24*time.Hour, now)
			if err != nil {
				t.Fatal(err)
			}
			otherCA, _ := cert.ParseOne(other.CertificatePEM())
			if list.CheckSignatureFrom(otherCA) == nil {
				t.Error("another authority vouches for it")
			}
			if openssl, err := exec.LookPath("openssl"); err == nil {
				dir := t.TempDir()
				for name, text := range map[string]string{"ca.crt": string(authority.CertificatePEM()), "list.crl": text} {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if out, err := exec.Command(openssl, "crl", "-in", filepath.Join(dir, "list.crl"), "-noout", "-CAfile", filepath.Join(dir, "ca.crt"), "-text").CombinedOutput(); err != nil {
					t.Errorf("openssl: %v\n%s", err, out)
				}
			}
		})
	}
}

// TestRevokeByOthersAuthorities holds that imported authorities revoke too, if they may sign lists.
func TestRevokeByOthersAuthorities(t *testing.T) {
	authority, err := NewAuthority("elsewhere", DefaultAlgorithm, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	bare := *authority.certificate
	bare.KeyUsage, bare.SubjectKeyId = 0, nil
	if _, err := newEmbedded(KeyPair{certificate: &bare, key: authority.key}).Revoke(nil, 1); err != nil {
		t.Error(err)
	}
	strict := *authority.certificate
	strict.KeyUsage = 1 << 5 // only certificate signing
	if _, err := newEmbedded(KeyPair{certificate: &strict, key: authority.key}).Revoke(nil, 1); !errors.Is(err, ErrSignsNoLists) {
		t.Errorf("an authority that may sign no lists: %v", err)
	}
	if _, err := (&Authority{KeyPair: KeyPair{certificate: authority.certificate}}).Revoke(nil, 1); err == nil {
		t.Error("an authority without its key has signed a list")
	}
}
