package model

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Digest is a SHA-256 over words, in hexadecimal: a name that is the same in every run of a test.
func Digest(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\n")))
	return hex.EncodeToString(sum[:])
}

// Identity is etcd's kind of ID: 64 bits of a hash, in hexadecimal as hosts spell it.
func Identity(words ...string) string { return strings.TrimLeft(Digest(words...)[:16], "0") }
