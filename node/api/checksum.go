package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Checksum hashes a snapshot that is written to it, in one pass, and compares it with the SHA-256 at its end. A
// database is made of pages, so what follows its last one can only be that sum.
type Checksum struct {
	before hash.Hash // of all but the last bytes
	last   []byte    // the last bytes, as many as a SHA-256 has, or all if fewer were written
	Size   int64
}

// NewChecksum returns the checksum of nothing.
func NewChecksum() *Checksum { return &Checksum{before: sha256.New()} }

func (s *Checksum) Write(p []byte) (int, error) {
	s.Size += int64(len(p))
	if len(p) >= sha256.Size {
		s.before.Write(s.last)
		s.before.Write(p[:len(p)-sha256.Size])
		s.last = append(s.last[:0], p[len(p)-sha256.Size:]...)
		return len(p), nil
	}
	s.last = append(s.last, p...)
	if more := len(s.last) - sha256.Size; more > 0 {
		s.before.Write(s.last[:more])
		s.last = append(s.last[:0], s.last[more:]...)
	}
	return len(p), nil
}

// Sum returns the SHA-256 of all that was written, or an error if what was written does not end with the SHA-256 of the
// rest. It may be called once.
func (s *Checksum) Sum() (string, error) {
	if s.Size%512 != sha256.Size {
		return "", fmt.Errorf("it is %d bytes long, which is no database and a SHA-256: it was cut off", s.Size)
	}
	if sum := s.before.Sum(nil); string(sum) != string(s.last) {
		return "", fmt.Errorf("its SHA-256 is %x and it says that it is %x", sum, s.last)
	}
	s.before.Write(s.last)
	return hex.EncodeToString(s.before.Sum(nil)), nil
}
