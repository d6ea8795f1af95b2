// Package keys makes the private keys of a host's members, requests certificates for them, and puts each certificate
// into its place together with the key that it is of. No key leaves the host.
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

// Ensure makes a new key for a request, unless a fit one waits for its first certificate, and says where it lies. A key
// is certified once: each renewal brings a new one.
//
// A running member reads its keys anew at each handshake, and a stopped one when it is started, by whomever. If the key
// in place cannot be used, the new one takes its place at once: no handshake succeeds before that either. A key that
// the member uses stays until the certificate of the new one is there too. A key that others can read is not fit.
func (k Keys) Ensure(cluster string, r api.KeyRequest, etcd files.Owner) (string, error) {
	if err := k.removeUnfinished(cluster); err != nil {
		return "", err
	}
	if err := k.completePair(cluster, r.Name); err != nil {
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
			if err := k.give(path, user); err != nil || !k.isCertified(cluster, r.Name, key) {
				return path, err
			}
		}
		used = used || err == nil
		if !used {
			return path, k.makeKey(path, r, etcd)
		}
	}
	path := api.NextKeyFile(cluster, r.Name)
	return path, k.makeKey(path, r, etcd)
}

// isCertified tells whether the certificate that is in place is of a key.
func (k Keys) isCertified(cluster, name string, key crypto.Signer) bool {
	text, _, err := k.read(api.CertificateFile(cluster, name))
	return err == nil && certifies(text, key) == nil
}

// removeUnfinished removes what calls have left that were killed while they wrote keys, and that nothing would write
// over.
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
// Both are on the disk before either takes its place. The certificate goes first, and the key right behind it: etcd
// reads them in this order at each handshake, and so finds two that do not match only if both of its reads fall between
// the two renames, or both renames between its reads. CompletePairs finishes what a call that is cut short between them
// has begun.
func (k Keys) PutPair(cluster, name string, certificate files.File) error {
	if err := k.MayPair(cluster, name, string(certificate.Text)); err != nil {
		return err
	}
	next, beside := api.NextKeyFile(cluster, name), api.NextCertificateFile(cluster, name)
	key, err := k.readKeyAt(next)
	if err != nil || certifies(certificate.Text, key) != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			if err := files.Remove(k.Files.Path(next)); err != nil { // nobody waits for it any more
				return err
			}
		}
		if _, err := k.Files.Put(certificate); err != nil {
			return err
		}
		return files.Remove(k.Files.Path(beside))
	}
	waiting := certificate
	waiting.Path = beside
	if _, err := k.Files.Put(waiting); err != nil {
		return err
	}
	err = k.Files.RenameBoth(files.Renaming{From: beside, To: certificate.Path}, files.Renaming{From: next, To: api.KeyFile(cluster, name)})
	if errors.Is(err, fs.ErrNotExist) && k.isCertified(cluster, name, key) {
		return nil // the end of the member's unit has seen to it
	}
	return err
}

// CompletePairs puts keys and certificates into their places whose other half is in its place already: a call was cut
// short between the two.
func (k Keys) CompletePairs(cluster string) error {
	for _, name := range api.KeyNames {
		if err := k.completePair(cluster, name); err != nil {
			return fmt.Errorf("certificate %s: %w", name, err)
		}
	}
	return nil
}

// completePair does so for one pair. Two halves that match stay as they are, and so do two that both wait.
func (k Keys) completePair(cluster, name string) error {
	inPlace, waiting, err := k.halves(cluster, name)
	if err != nil || inPlace.match() {
		return err
	}
	switch {
	case pair{waiting.certificate, inPlace.key}.match(): // of an earlier store, which put the key first
		err = k.Files.Rename(api.NextCertificateFile(cluster, name), api.CertificateFile(cluster, name))
	case pair{inPlace.certificate, waiting.key}.match():
		err = k.Files.Rename(api.NextKeyFile(cluster, name), api.KeyFile(cluster, name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a call and the end of the member's unit both see to it
	}
	return err
}

// pair is a certificate with its key, as far as both can be read.
type pair struct {
	certificate []byte
	key         crypto.Signer
}

func (p pair) match() bool { return p.key != nil && certifies(p.certificate, p.key) == nil }

// halves reads the pair in place and the one that waits. A file that is missing, or no key and no certificate, is left
// out; one that cannot be read is an error.
func (k Keys) halves(cluster, name string) (inPlace, waiting pair, err error) {
	for _, half := range []struct {
		of               *pair
		certificate, key string
	}{
		{&inPlace, api.CertificateFile(cluster, name), api.KeyFile(cluster, name)},
		{&waiting, api.NextCertificateFile(cluster, name), api.NextKeyFile(cluster, name)},
	} {
		var failed [2]error
		half.of.certificate, _, failed[0] = k.read(half.certificate)
		half.of.key, failed[1] = k.readKeyAt(half.key)
		for _, err := range failed {
			var unread *fs.PathError
			if errors.As(err, &unread) && !errors.Is(err, fs.ErrNotExist) {
				return pair{}, pair{}, err
			}
		}
	}
	return inPlace, waiting, nil
}

// makeKey makes a private key and writes it where only its user reads it: etcd its own, root the
// administrator's.
func (k Keys) makeKey(path string, r api.KeyRequest, etcd files.Owner) error {
	key, err := k.New(r.Algorithm)
	if err != nil {
		return err
	}
	return k.putKey(path, r.Name, key, etcd)
}

// New makes a private key that lies in no file yet.
func (k Keys) New(algorithm string) (crypto.Signer, error) {
	key, err := keyKinds[algorithm].make(k.Random)
	if err != nil {
		return nil, fmt.Errorf("make a key of %s: %w", algorithm, err)
	}
	return key, nil
}

// putKey writes a private key where only its user reads it.
func (k Keys) putKey(path, name string, key crypto.Signer, etcd files.Owner) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key %s: %w", name, err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	_, err = k.Files.Put(files.File{Path: path, Text: text, Owner: userOf(name, etcd), Mode: files.KeyFile})
	return err
}

// Request is the certificate request for the key in a file: exactly the subject and names that were asked for.
func (k Keys) Request(path string, r api.KeyRequest) (string, error) {
	key, err := k.readKeyAt(path)
	if err != nil {
		return "", fmt.Errorf("read key %s: %w", r.Name, err)
	}
	return k.RequestFor(key, r)
}

// RequestFor is that for a key that may lie in no file yet.
func (k Keys) RequestFor(key crypto.Signer, r api.KeyRequest) (string, error) {
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
