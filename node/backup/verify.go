package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// ErrBackupDamaged is returned for a backup that is not what was stored.
var ErrBackupDamaged = errors.New("the backup is damaged")

// verifiedReader reads content that must have a size and a SHA-256. At its end it returns an error if they are wrong,
// so that a caller who reads to the end never takes damaged content for whole.
type verifiedReader struct {
	from   io.Reader
	what   string
	size   int64
	sha256 string

	hash hash.Hash
	read int64
	end  error // the result of all further reads
}

// verify returns a verifying reader. Errors call the content what.
func verify(from io.Reader, what string, size int64, sum string) *verifiedReader {
	return &verifiedReader{from: from, what: what, size: size, sha256: sum, hash: sha256.New()}
}

func (v *verifiedReader) Read(p []byte) (int, error) {
	if v.end != nil {
		return 0, v.end
	}
	n, err := v.from.Read(p)
	v.hash.Write(p[:n])
	v.read += int64(n)
	switch {
	case v.read > v.size:
		v.end = fmt.Errorf("%s: %w: it is longer than %d bytes", v.what, ErrBackupDamaged, v.size)
	case err == io.EOF:
		v.end = v.whole()
	default:
		v.end = err
	}
	return n, v.end
}

// whole returns io.EOF if the content was right, or what is wrong with it.
func (v *verifiedReader) whole() error {
	if v.read != v.size {
		return fmt.Errorf("%s: %w: it is %d bytes long, and should be %d", v.what, ErrBackupDamaged, v.read, v.size)
	}
	if sum := hex.EncodeToString(v.hash.Sum(nil)); sum != v.sha256 {
		return fmt.Errorf("%s: %w: its SHA-256 is %s, and should be %s", v.what, ErrBackupDamaged, sum, v.sha256)
	}
	return io.EOF
}

// drain reads to the end, and returns what is wrong with the content.
func (v *verifiedReader) drain() error {
	_, err := io.Copy(io.Discard, v)
	return err
}

// summingReader counts and hashes the bytes that pass through it.
type summingReader struct {
	from io.Reader
	hash hash.Hash
	read int64
}

// sum returns a reader that counts and hashes.
func sum(from io.Reader) *summingReader { return &summingReader{from: from, hash: sha256.New()} }

func (s *summingReader) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.hash.Write(p[:n])
	s.read += int64(n)
	return n, err
}

func (s *summingReader) sha256() string { return hex.EncodeToString(s.hash.Sum(nil)) }
