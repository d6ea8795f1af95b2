package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudflare/cfssl/csr"
)

// Algorithm is the kind and size of a key.
type Algorithm string

// Algorithms of keys that every TLS library of etcd clients supports. ed25519 is not among them.
const (
	ECDSAP256 Algorithm = "ecdsa-p256"
	ECDSAP384 Algorithm = "ecdsa-p384"
	RSA2048   Algorithm = "rsa-2048"
	RSA3072   Algorithm = "rsa-3072"
	RSA4096   Algorithm = "rsa-4096"
)

// DefaultAlgorithm is the fastest algorithm of equal or better strength.
const DefaultAlgorithm = ECDSAP256

// Algorithms returns all algorithms, the default first.
func Algorithms() []Algorithm {
	return []Algorithm{ECDSAP256, ECDSAP384, RSA2048, RSA3072, RSA4096}
}

// ParseAlgorithm parses the name of an algorithm.
func ParseAlgorithm(name string) (Algorithm, error) {
	if a := Algorithm(name); slices.Contains(Algorithms(), a) {
		return a, nil
	}
	return "", fmt.Errorf("key algorithm %q is not supported; it must be one of %s", name, allowed())
}

func allowed() string {
	var names []string
	for _, a := range Algorithms() {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}

// generate generates a key.
func (a Algorithm) generate() (crypto.Signer, error) {
	requests := map[Algorithm]csr.KeyRequest{
		ECDSAP256: {A: "ecdsa", S: 256},
		ECDSAP384: {A: "ecdsa", S: 384},
		RSA2048:   {A: "rsa", S: 2048},
		RSA3072:   {A: "rsa", S: 3072},
		RSA4096:   {A: "rsa", S: 4096},
	}
	request, ok := requests[a]
	if !ok {
		_, err := ParseAlgorithm(string(a))
		return nil, err
	}
	key, err := request.Generate()
	if err != nil {
		return nil, fmt.Errorf("make an %s key: %w", a, plain(err))
	}
	return key.(crypto.Signer), nil
}

// AlgorithmOf returns the algorithm of a public key, and refuses keys of any other kind.
func AlgorithmOf(public crypto.PublicKey) (Algorithm, error) {
	var name string
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		name = "ecdsa-" + strings.ToLower(strings.ReplaceAll(key.Curve.Params().Name, "-", ""))
	case *rsa.PublicKey:
		name = fmt.Sprintf("rsa-%d", key.N.BitLen())
	default:
		name = fmt.Sprintf("%T", public)
	}
	return ParseAlgorithm(name)
}
