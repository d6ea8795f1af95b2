package etcdfs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Checksum hashes a snapshot that is written to it, in one pass, and holds it against the SHA-256 that it ends in. A
// database is made of pages, so that what is behind its last one can only be the sum.
type Checksum struct {
	before hash.Hash // of all but the last bytes
	last   []byte    // so many as a SHA-256 has, or all that have come
	Size   int64
}

// NewChecksum is that of nothing.
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

// Sum is the SHA-256 of all that was written, where it ends in that of what is before. It is asked for once.
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
