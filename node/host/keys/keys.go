// Package keys makes the private keys of a host's members and requests certificates for them. It installs each
// certificate together with its key. No key leaves the host.
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

// Keys are the keys of a host.
type Keys struct {
	Files  files.Tree
	Random io.Reader // the source of new keys
	// SystemUser finds the user that members run as; false: the host has none.
	SystemUser func(context.Context) (files.Owner, bool, error)
}

// keyKind makes keys of one algorithm, and recognizes them.
type keyKind struct {
	make func(io.Reader) (crypto.Signer, error)
	fits func(crypto.Signer) bool
}

// Known tells whether keys of an algorithm can be made.
func Known(name string) bool {
	_, known := keyKinds[name]
	return known
}

// Fits tells whether a key is of an algorithm.
func Fits(algorithm string, key crypto.Signer) bool { return keyKinds[algorithm].fits(key) }

// keyKinds are the algorithms, by api.KeyRequest's names.
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

// Read reads one of the cluster's private keys, or returns fs.ErrNotExist if there is none yet. Its errors never hold a
// part of the key.
func (k Keys) Read(cluster, name string) (crypto.Signer, error) {
	return k.readKeyAt(api.KeyFile(cluster, name))
}

// readKeyAt reads the private key in a file.
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

// Ensure makes a new key for a request, and returns its path. A key that waits for its first certificate is used again
// if it is usable. Each key gets one certificate: a renewal makes a new key.
//
// A running member reads its keys at each handshake, and a stopped one at its next start, whoever starts it. If the key
// in place cannot be used, the new one replaces it at once, since no handshake succeeds anyway. A key that the member
// uses stays until the new one has its certificate. A key that anyone else can read is not usable.
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

// isCertified tells whether the installed certificate is for a key.
func (k Keys) isCertified(cluster, name string, key crypto.Signer) bool {
	text, _, err := k.read(api.CertificateFile(cluster, name))
	return err == nil && certifies(text, key) == nil
}

// removeUnfinished removes the files of calls that were killed while they wrote keys: nothing else would overwrite
// them.
func (k Keys) removeUnfinished(cluster string) error {
	unfinished := map[string]bool{}
	for _, name := range api.KeyNames {
		for _, path := range []string{api.KeyFile(cluster, name), api.NextKeyFile(cluster, name), api.NextCertificateFile(cluster, name)} {
			unfinished[filepath.Base(files.NextName(path))] = true
		}
	}
	return k.Files.RemoveIn(api.TLSDir(cluster), func(entry fs.DirEntry) bool { return unfinished[entry.Name()] })
}

// MayPair returns an error if a certificate is neither for the key that waits nor for the one in use.
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

// PutPair installs a certificate, together with its key if that waits beside the one in use.
//
// Both are synced before either is renamed. The certificate is renamed first, and the key right after it: etcd reads
// them in this order at each handshake. So etcd finds a pair that does not match only if both of its reads fall between
// the two renames, or both renames between its reads. If a call is cut short between the renames, CompletePairs does
// the second one.
func (k Keys) PutPair(cluster, name string, certificate files.File) error {
	if err := k.MayPair(cluster, name, string(certificate.Text)); err != nil {
		return err
	}
	next, beside := api.NextKeyFile(cluster, name), api.NextCertificateFile(cluster, name)
	key, err := k.readKeyAt(next)
	if err != nil || certifies(certificate.Text, key) != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			if err := files.Remove(k.Files.Path(next)); err != nil { // no certificate is requested for it any more
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
		return nil // the end of the member's unit has renamed it
	}
	return err
}

// CompletePairs completes each pair of which only one half was renamed because a call was cut short.
func (k Keys) CompletePairs(cluster string) error {
	for _, name := range api.KeyNames {
		if err := k.completePair(cluster, name); err != nil {
			return fmt.Errorf("certificate %s: %w", name, err)
		}
	}
	return nil
}

// completePair completes one pair. It leaves two halves that match as they are, and two that both wait.
func (k Keys) completePair(cluster, name string) error {
	inPlace, waiting, err := k.halves(cluster, name)
	if err != nil || inPlace.match() {
		return err
	}
	switch {
	case pair{waiting.certificate, inPlace.key}.match(): // an earlier store renamed the key first
		err = k.Files.Rename(api.NextCertificateFile(cluster, name), api.CertificateFile(cluster, name))
	case pair{inPlace.certificate, waiting.key}.match():
		err = k.Files.Rename(api.NextKeyFile(cluster, name), api.KeyFile(cluster, name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a call and the end of the member's unit may both rename it
	}
	return err
}

// pair is a certificate with its key, as far as both can be read.
type pair struct {
	certificate []byte
	key         crypto.Signer
}

func (p pair) match() bool { return p.key != nil && certifies(p.certificate, p.key) == nil }

// halves reads the installed pair and the one that waits. It leaves out a file that is missing or holds no key or
// certificate, and returns an error if one cannot be read.
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

// makeKey makes a private key and writes it to a file that only the key's user can read.
func (k Keys) makeKey(path string, r api.KeyRequest, etcd files.Owner) error {
	key, err := k.New(r.Algorithm)
	if err != nil {
		return err
	}
	return k.putKey(path, r.Name, key, etcd)
}

// New makes a private key without writing it to a file.
func (k Keys) New(algorithm string) (crypto.Signer, error) {
	key, err := keyKinds[algorithm].make(k.Random)
	if err != nil {
		return nil, fmt.Errorf("make a key of %s: %w", algorithm, err)
	}
	return key, nil
}

// putKey writes a private key to a file that only the key's user can read.
func (k Keys) putKey(path, name string, key crypto.Signer, etcd files.Owner) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key %s: %w", name, err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	_, err = k.Files.Put(files.File{Path: path, Text: text, Owner: userOf(name, etcd), Mode: files.KeyFile})
	return err
}

// Request returns the certificate request for the key in a file, with exactly the requested subject and names.
func (k Keys) Request(path string, r api.KeyRequest) (string, error) {
	key, err := k.readKeyAt(path)
	if err != nil {
		return "", fmt.Errorf("read key %s: %w", r.Name, err)
	}
	return k.RequestFor(key, r)
}

// RequestFor returns the certificate request for a key that need not be in a file.
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
