// Package keys makes the private keys of a host's members, requests certificates for them, and puts each certificate into its
// place together with the key that it is of. No key leaves the host.
package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path/filepath"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
)

// Keys are those of a host.
type Keys struct {
	Files  files.Tree
	Random io.Reader // that keys are made of
	// SystemUser finds the user that members run as; false: the host has none.
	SystemUser func(context.Context) (files.Owner, bool, error)
}

// keyKind makes keys of one algorithm, and knows them again.
type keyKind struct {
	make func(io.Reader) (crypto.Signer, error)
	fits func(crypto.Signer) bool
}

// Known tells whether keys of an algorithm can be made.
func Known(name string) bool {
	_, known := keyKinds[name]
	return known
}

// Fits tells whether a key is one of an algorithm.
func Fits(algorithm string, key crypto.Signer) bool { return keyKinds[algorithm].fits(key) }

// keyKinds are the algorithms, as api.KeyRequest names them.
var keyKinds = map[string]keyKind{
	"ecdsa-p256": ecdsaKind(elliptic.P256()),
	"ecdsa-p384": ecdsaKind(elliptic.P384()),
	"rsa-2048":   rsaKind(2048),
	"rsa-3072":   rsaKind(3072),
	"rsa-4096":   rsaKind(4096),
}

func ecdsaKind(curve elliptic.Curve) keyKind {
	return keyKind{
		make: func(random io.Reader) (crypto.Signer, error) { return ecdsa.GenerateKey(curve, random) },
		fits: func(key crypto.Signer) bool {
			k, ok := key.(*ecdsa.PrivateKey)
			return ok && k.Curve == curve
		},
	}
}

func rsaKind(bits int) keyKind {
	return keyKind{
		make: func(random io.Reader) (crypto.Signer, error) { return rsa.GenerateKey(random, bits) },
		fits: func(key crypto.Signer) bool {
			k, ok := key.(*rsa.PrivateKey)
			return ok && k.N.BitLen() == bits
		},
	}
}

// Read reads one of the cluster's private keys; fs.ErrNotExist: it was not made yet. Its errors
// never hold a part of the key.
func (k Keys) Read(cluster, name string) (crypto.Signer, error) {
	return k.readKeyAt(api.KeyFile(cluster, name))
}

// readKeyAt reads the private key that lies in a file.
func (k Keys) readKeyAt(path string) (crypto.Signer, error) {
	text, _, err := k.read(path)
	if err != nil {
		return nil, err
	}
	return parseKey(text)
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it holds no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("it holds no private key in PKCS #8")
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("it holds a key that cannot sign")
	}
	return key, nil
}

// Ensure makes the key of a request, unless a fit one is there, and says where it lies.
//
// A running member reads its keys anew at each handshake, and a stopped one when it is started, by whomever. Where it has
// none that can be used, the new one goes into its place at once: no handshake succeeds before that either. One that it
// uses stays until the certificate of the new key is there too. A key that others can read is not fit.
func (k Keys) Ensure(cluster string, r api.KeyRequest, etcd files.Owner) (string, error) {
	if err := k.removeUnfinished(cluster); err != nil {
		return "", err
	}
	used, user := false, userOf(r.Name, etcd)
	for _, path := range []string{api.KeyFile(cluster, r.Name), api.NextKeyFile(cluster, r.Name)} {
		text, info, err := k.read(path)
		var unread *fs.PathError
		if errors.As(err, &unread) && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		var key crypto.Signer
		if err == nil {
			key, err = parseKey(text)
		}
		if err == nil && Fits(r.Algorithm, key) && !exposed(info, user) {
			return path, k.give(path, user)
		}
		used = used || err == nil
		if !used {
			return path, k.makeKey(path, r, etcd)
		}
	}
	path := api.NextKeyFile(cluster, r.Name)
	return path, k.makeKey(path, r, etcd)
}

// removeUnfinished removes what calls have left that were killed while they wrote keys, and that nothing would write over.
func (k Keys) removeUnfinished(cluster string) error {
	unfinished := map[string]bool{}
	for _, name := range api.KeyNames {
		for _, path := range []string{api.KeyFile(cluster, name), api.NextKeyFile(cluster, name), api.NextCertificateFile(cluster, name)} {
			unfinished[filepath.Base(files.NextName(path))] = true
		}
	}
	return k.Files.RemoveIn(api.TLSDir(cluster), func(entry fs.DirEntry) bool { return unfinished[entry.Name()] })
}

// MayPair refuses a certificate that is neither of the key that waits nor of the one in use.
func (k Keys) MayPair(cluster, name, certificate string) error {
	key, err := k.readKeyAt(api.NextKeyFile(cluster, name))
	if err != nil || certifies([]byte(certificate), key) != nil {
		key, err = k.Read(cluster, name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return api.Refuse("there is no key %s: prepare the host first", name)
	}
	if err != nil {
		return fmt.Errorf("read key %s: %w", name, err)
	}
	if err := certifies([]byte(certificate), key); err != nil {
		return api.Refuse("the certificate for key %s cannot be used: %s", name, err)
	}
	return nil
}

// PutPair puts a certificate into its place, and with it the key that it is of, where that waits beside the one in use.
//
// Both are on the disk before either takes its place. A call that is cut short after the key did is ended by CompletePairs.
func (k Keys) PutPair(cluster, name string, certificate files.File) error {
	next := api.NextKeyFile(cluster, name)
	key, err := k.readKeyAt(next)
	if !errors.Is(err, fs.ErrNotExist) {
		if err == nil && certifies(certificate.Text, key) == nil {
			beside := certificate
			beside.Path = api.NextCertificateFile(cluster, name)
			if _, err := k.Files.Put(beside); err != nil {
				return err
			}
			if err := k.Files.Rename(next, api.KeyFile(cluster, name)); err != nil {
				return err
			}
			return k.completePair(cluster, name)
		}
		if err := files.Remove(k.Files.Path(next)); err != nil { // nobody waits for it any more
			return err
		}
	}
	if _, err := k.Files.Put(certificate); err != nil {
		return err
	}
	return files.Remove(k.Files.Path(api.NextCertificateFile(cluster, name)))
}

// CompletePairs puts those certificates into their places whose keys are in theirs already: a call was cut short between
// the two.
func (k Keys) CompletePairs(cluster string) error {
	for _, name := range api.KeyNames {
		if err := k.completePair(cluster, name); err != nil {
			return fmt.Errorf("certificate %s: %w", name, err)
		}
	}
	return nil
}

func (k Keys) completePair(cluster, name string) error {
	next := api.NextCertificateFile(cluster, name)
	text, _, err := k.read(next)
	var unread *fs.PathError
	if errors.As(err, &unread) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return nil // nothing is there, or no file
	}
	key, err := k.Read(cluster, name)
	if err != nil || certifies(text, key) != nil {
		return nil // its key is not in its place yet
	}
	err = k.Files.Rename(next, api.CertificateFile(cluster, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a call and the end of the member's unit both see to it
	}
	return err
}

// makeKey makes a private key and writes it where only its user reads it: etcd its own, root the
// administrator's.
func (k Keys) makeKey(path string, r api.KeyRequest, etcd files.Owner) error {
	key, err := keyKinds[r.Algorithm].make(k.Random)
	if err != nil {
		return fmt.Errorf("make a key of %s: %w", r.Algorithm, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode a key of %s: %w", r.Algorithm, err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	_, err = k.Files.Put(files.File{Path: path, Text: text, Owner: userOf(r.Name, etcd), Mode: files.KeyFile})
	return err
}

// Request is the certificate request for the key in a file: exactly the subject and names that were asked for.
func (k Keys) Request(path string, r api.KeyRequest) (string, error) {
	key, err := k.readKeyAt(path)
	if err != nil {
		return "", fmt.Errorf("read key %s: %w", r.Name, err)
	}
	template := &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: r.CommonName, Organization: r.Organization},
		DNSNames: r.DNSNames,
	}
	for _, text := range r.IPs {
		ip := net.ParseIP(text)
		if ip == nil {
			return "", fmt.Errorf("request a certificate for key %s: %q is no IP address", r.Name, text)
		}
		template.IPAddresses = append(template.IPAddresses, ip)
	}
	der, err := x509.CreateCertificateRequest(k.Random, template, key)
	if err != nil {
		return "", fmt.Errorf("request a certificate for key %s: %w", r.Name, err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), nil
}
