package ssh_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"hash"
	"testing"
)

type pbes2Cipher struct {
	name      string
	oid       asn1.ObjectIdentifier
	keyLength int
}

type pbes2PRF struct {
	name string
	oid  asn1.ObjectIdentifier // nil: left out of the key, which means SHA-1
	new  func() hash.Hash
}

var (
	pbes2Ciphers = []pbes2Cipher{
		{"aes128", asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}, 16},
		{"aes256", asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, 32},
	}
	pbes2PRFs = []pbes2PRF{
		{"default", nil, sha1.New},
		{"sha256", asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, sha256.New},
		{"sha512", asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, sha512.New},
	}
)

// lockPKCS8 encrypts as RFC 8018 says, and as openssl does.
func lockPKCS8(t *testing.T, der []byte, with pbes2Cipher, prf pbes2PRF) string {
	t.Helper()
	salt, iv := bytes.Repeat([]byte{7}, 8), bytes.Repeat([]byte{9}, aes.BlockSize)
	const rounds = 2048
	key, err := pbkdf2.Key(prf.new, passphrase, salt, rounds, with.keyLength)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	padding := aes.BlockSize - len(der)%aes.BlockSize
	padded := append(bytes.Clone(der), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)

	marshal := func(v any) asn1.RawValue {
		t.Helper()
		raw, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: raw}
	}
	var kdf asn1.RawValue
	if prf.oid == nil {
		kdf = marshal(struct {
			Salt   []byte
			Rounds int
		}{salt, rounds})
	} else {
		kdf = marshal(struct {
			Salt   []byte
			Rounds int
			PRF    pkix.AlgorithmIdentifier
		}{salt, rounds, pkix.AlgorithmIdentifier{Algorithm: prf.oid, Parameters: asn1.NullRawValue}})
	}
	outer := marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}{pkix.AlgorithmIdentifier{
		Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13},
		Parameters: marshal(struct{ KDF, Cipher pkix.AlgorithmIdentifier }{
			pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, Parameters: kdf},
			pkix.AlgorithmIdentifier{Algorithm: with.oid, Parameters: marshal(iv)},
		}),
	}, padded})
	return string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: outer.FullBytes}))
}
