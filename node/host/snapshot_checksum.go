package host

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// snapshotChecksum hashes a snapshot that is written to it, in one pass, and holds it against the SHA-256 that it ends in. A
// database is made of pages, so that what is behind its last one can only be the sum.
type snapshotChecksum struct {
	before hash.Hash // of all but the last bytes
	last   []byte    // so many as a SHA-256 has, or all that have come
	size   int64
}

func newSnapshotChecksum() *snapshotChecksum { return &snapshotChecksum{before: sha256.New()} }

func (s *snapshotChecksum) Write(p []byte) (int, error) {
	s.size += int64(len(p))
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

// sum is the SHA-256 of all that was written, where it ends in that of what is before. It is asked for once.
func (s *snapshotChecksum) sum() (string, error) {
	if s.size%512 != sha256.Size {
		return "", fmt.Errorf("it is %d bytes long, which is no database and a SHA-256: it was cut off", s.size)
	}
	if sum := s.before.Sum(nil); string(sum) != string(s.last) {
		return "", fmt.Errorf("its SHA-256 is %x and it says that it is %x", sum, s.last)
	}
	s.before.Write(s.last)
	return hex.EncodeToString(s.before.Sum(nil)), nil
}
