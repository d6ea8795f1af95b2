package ssh

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// pkcs8Block is the PEM type of an encrypted PKCS#8 key, as openssl 3 and ssh-keygen -m PKCS8 write it. Neither
// x/crypto nor crypto/x509 reads it.
const pkcs8Block = "ENCRYPTED PRIVATE KEY"

// maxRounds bounds the PBKDF2 rounds of a key, to some seconds. OpenSSL writes 2048.
const maxRounds = 10_000_000

// RFC 5958 and, for PBES2 and PBKDF2, RFC 8018.
type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2Params struct {
		KDF    pkix.AlgorithmIdentifier
		Cipher pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt      []byte
		Rounds    int
		KeyLength int                      `asn1:"optional"`
		PRF       pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// prfs are the hashes of PBKDF2 by object identifier; the empty one is RFC 8018's default.
var prfs = map[string]func() hash.Hash{
	"":                    sha1.New,
	"1.2.840.113549.2.7":  sha1.New,
	"1.2.840.113549.2.9":  sha256.New,
	"1.2.840.113549.2.10": sha512.New384,
	"1.2.840.113549.2.11": sha512.New,
}

// aesKeyLengths are the lengths of AES-CBC keys, in bytes, by object identifier.
var aesKeyLengths = map[string]int{
	"2.16.840.1.101.3.4.1.2":  16,
	"2.16.840.1.101.3.4.1.22": 24,
	"2.16.840.1.101.3.4.1.42": 32,
}

var errPKCS8 = errors.New("encrypted in a way that is not known here (PBES2 with PBKDF2 and AES-CBC is): convert it with ssh-keygen -p -f KEY")

// decryptPKCS8 decrypts an encrypted PKCS#8 key. For a wrong passphrase it returns x509.IncorrectPasswordError, as
// other formats do.
func decryptPKCS8(der []byte, passphrase string) (any, error) {
	var outer encryptedKey
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return nil, fmt.Errorf("encrypted PKCS#8: %w", err)
	}
	var params pbes2Params
	if !outer.Algorithm.Algorithm.Equal(oidPBES2) || unmarshal(outer.Algorithm, &params) != nil {
		return nil, errPKCS8
	}
	var kdf pbkdf2Params
	if !params.KDF.Algorithm.Equal(oidPBKDF2) || unmarshal(params.KDF, &kdf) != nil {
		return nil, errPKCS8
	}
	prf, keyLength := prfs[kdf.PRF.Algorithm.String()], aesKeyLengths[params.Cipher.Algorithm.String()]
	if prf == nil || keyLength == 0 || kdf.Rounds < 1 || kdf.Rounds > maxRounds {
		return nil, errPKCS8
	}
	var iv []byte
	if unmarshal(params.Cipher, &iv) != nil || len(iv) != aes.BlockSize ||
		len(outer.Data) == 0 || len(outer.Data)%aes.BlockSize != 0 {
		return nil, errors.New("encrypted PKCS#8: it is damaged")
	}
	key, err := pbkdf2.Key(prf, passphrase, kdf.Salt, kdf.Rounds, keyLength)
	if err != nil {
		return nil, fmt.Errorf("encrypted PKCS#8: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("encrypted PKCS#8: %w", err)
	}
	text := make([]byte, len(outer.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(text, outer.Data)

	// A wrong passphrase yields invalid padding or, by chance, valid padding around an invalid key.
	padding := int(text[len(text)-1])
	if padding == 0 || padding > aes.BlockSize {
		return nil, x509.IncorrectPasswordError
	}
	private, err := x509.ParsePKCS8PrivateKey(text[:len(text)-padding])
	if err != nil {
		return nil, x509.IncorrectPasswordError
	}
	return private, nil
}

func unmarshal(algorithm pkix.AlgorithmIdentifier, params any) error {
	_, err := asn1.Unmarshal(algorithm.Parameters.FullBytes, params)
	return err
}
