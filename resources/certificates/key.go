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
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/ssh"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// errOpenKey refuses a private key that other users can read.
var errOpenKey = errors.New("so that others can use the key")

// ownKey returns the path of a private key file, and fails if other users can read the file.
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

// refuseKey turns an error of reading a private key into a refusal. A missing key is no error, since the apply makes
// it.
func refuseKey(err error) (diags diag.Diagnostics) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		diags.AddAttributeError(path.Root("private_key_file"), "The private key cannot be used", err.Error()+". No file was changed.")
	}
	return diags
}

// readPrivate reads a private key file, and fails if other users can read it.
func readPrivate(file string) ([]byte, error) {
	path, err := ownKey(file)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// readKey reads and parses a private key file, and fails if other users can read it. Errors name the file and nothing
// of its content.
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

// parseKey parses a private key: PEM with PKCS #8, SEC 1 or PKCS #1, not encrypted.
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

// requestFor returns a certificate request, PEM, that proves possession of a key and says nothing else.
func requestFor(key crypto.Signer, random io.Reader) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(random, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// belongs tells whether a certificate, PEM, certifies a key.
func belongs(certificate string, key crypto.Signer) bool {
	leaf, err := cert.ParseLeaf([]byte(certificate))
	return err == nil && cert.IsFor(leaf, key.Public())
}

// algorithmOf names the algorithm of a key, also one that no key is made of.
func algorithmOf(key crypto.Signer) string {
	algorithm, err := pki.AlgorithmOf(key.Public())
	if err != nil {
		return "another algorithm"
	}
	return string(algorithm)
}

// keyAlgorithm names the algorithm of the key that the certificate is for, or returns "" if the certificate cannot be
// read.
func (c certificateModel) keyAlgorithm() string {
	leaf, err := cert.ParseLeaf([]byte(c.Certificate.ValueString()))
	if err != nil {
		return ""
	}
	algorithm, _ := pki.AlgorithmOf(leaf.PublicKey)
	return string(algorithm)
}

// otherAlgorithm is the reason for another certificate if the key is of another algorithm than the configuration says.
func otherAlgorithm(is, wanted string) string {
	return fmt.Sprintf("private_key_file holds a key of %s, and algorithm is %s", is, wanted)
}

// lacksAlgorithm tells whether the key is of another algorithm than at the last apply, and the last refresh found no
// other fault, except perhaps that the certificate is due: an earlier release accepted another algorithm and left the
// key as it was.
func (c certificateModel) lacksAlgorithm() bool {
	is, was := c.keyAlgorithm(), c.Algorithm.ValueString()
	return is != "" && is != was && (c.RenewalDue.IsNull() || strings.HasSuffix(c.RenewalDue.ValueString(), otherAlgorithm(is, was)))
}

// agreesWithKey tells whether the configuration goes back to the algorithm of the key, and the last refresh found no
// other fault than the algorithm.
func (c certificateModel) agreesWithKey(state certificateModel) bool {
	is := state.keyAlgorithm()
	return is != "" && c.Algorithm.ValueString() == is && state.RenewalDue.ValueString() == otherAlgorithm(is, state.Algorithm.ValueString())
}

// rekeys tells whether the configuration asks for another algorithm than that of the key which the resource has made,
// and which the certificate of the state is for. A key that was there before the resource is never overwritten.
func (c certificateModel) rekeys(state *certificateModel, made string) bool {
	if state == nil || made == "" || c.PrivateKeyFile.ValueString() != made || !state.PrivateKeyFile.Equal(c.PrivateKeyFile) {
		return false
	}
	is := state.keyAlgorithm()
	return is != "" && (c.Algorithm.IsUnknown() || c.Algorithm.ValueString() != is)
}

// warnRekeyed warns that the apply overwrites a private key.
func (c certificateModel) warnRekeyed(state certificateModel) (diags diag.Diagnostics) {
	diags.AddAttributeWarning(path.Root("algorithm"), "The private key is replaced", fmt.Sprintf("algorithm is %s, and the key in %s is of %s: the apply makes another key there, in the place of the one that this resource has made, and issues a certificate for it. "+
		"Whoever uses the key has to read both again.", c.Algorithm, c.PrivateKeyFile.ValueString(), state.keyAlgorithm()))
	return diags
}
