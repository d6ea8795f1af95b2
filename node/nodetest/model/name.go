package model

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Digest returns a SHA-256 over words, in hexadecimal: a name that is the same in every run of a test.
func Digest(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\n")))
	return hex.EncodeToString(sum[:])
}

// Identity returns an ID of etcd's kind: 64 bits of a hash, in hexadecimal as hosts write it.
func Identity(words ...string) string { return strings.TrimLeft(Digest(words...)[:16], "0") }
