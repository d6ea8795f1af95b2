package certificates

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// errOpenKey is why a key that others can read is not used.
var errOpenKey = errors.New("so that others can use the key")

// ownKey is where the private key in a file lies, which nobody but its owner can read.
func ownKey(file string) (path string, err error) {
	if path, err = ssh.ExpandHome(file); err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("%s has mode %04o, %w: chmod 600 %[1]s", path, mode, errOpenKey)
	}
	return path, nil
}

// refuseKey refuses a private key for what was found when it was looked at. One that is not there is made.
func refuseKey(err error) (diags diag.Diagnostics) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		diags.AddAttributeError(path.Root("private_key_file"), "The private key cannot be used", err.Error()+". No file was changed.")
	}
	return diags
}

// readPrivate reads a file with a private key that nobody but its owner can read.
func readPrivate(file string) ([]byte, error) {
	path, err := ownKey(file)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// readKey reads the private key in a file that nobody but its owner can read. Errors name the file
// and nothing of what it holds.
func readKey(file string) (crypto.Signer, error) {
	text, err := readPrivate(file)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// parseKey reads a private key: PEM with PKCS #8, SEC 1 or PKCS #1, not encrypted.
func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it holds no PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("it is a PEM block %q, which is no private key that can be used: PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY are", block.Type)
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("its private key cannot be read")
	}
	return signer, nil
}

// requestFor is a certificate request, PEM, that proves the possession of a key and says nothing else.
func requestFor(key crypto.Signer, random io.Reader) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(random, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// belongs tells whether a certificate, PEM, is for a key.
func belongs(certificate string, key crypto.Signer) bool {
	leaf, err := cert.ParseLeaf([]byte(certificate))
	return err == nil && cert.IsFor(leaf, key.Public())
}
