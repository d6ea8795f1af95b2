package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// ErrDamaged is what a backup says that is not what was stored.
var ErrDamaged = errors.New("it is damaged")

// verified reads what has to have a size and a SHA-256. Its end is an error where it has not, so that nobody
// who reads to the end takes it for whole.
type verified struct {
	from   io.Reader
	what   string
	size   int64
	sha256 string

	hash hash.Hash
	read int64
	end  error // what every read after the last one says
}

// verify reads something that is called what.
func verify(from io.Reader, what string, size int64, sum string) *verified {
	return &verified{from: from, what: what, size: size, sha256: sum, hash: sha256.New()}
}

func (v *verified) Read(p []byte) (int, error) {
	if v.end != nil {
		return 0, v.end
	}
	n, err := v.from.Read(p)
	v.hash.Write(p[:n])
	v.read += int64(n)
	switch {
	case v.read > v.size:
		v.end = fmt.Errorf("%s: %w: it is longer than %d bytes", v.what, ErrDamaged, v.size)
	case err == io.EOF:
		v.end = v.whole()
	default:
		v.end = err
	}
	return n, v.end
}

// whole is the end of what was read: io.EOF where it is what it should be.
func (v *verified) whole() error {
	if v.read != v.size {
		return fmt.Errorf("%s: %w: it is %d bytes long, and should be %d", v.what, ErrDamaged, v.read, v.size)
	}
	if sum := hex.EncodeToString(v.hash.Sum(nil)); sum != v.sha256 {
		return fmt.Errorf("%s: %w: its SHA-256 is %s, and should be %s", v.what, ErrDamaged, sum, v.sha256)
	}
	return io.EOF
}

// drain reads to the end, and returns what is wrong with it.
func (v *verified) drain() error {
	_, err := io.Copy(io.Discard, v)
	return err
}

// summed counts and hashes what is read through it.
type summed struct {
	from io.Reader
	hash hash.Hash
	read int64
}

// sum reads something, and sums it up.
func sum(from io.Reader) *summed { return &summed{from: from, hash: sha256.New()} }

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.hash.Write(p[:n])
	s.read += int64(n)
	return n, err
}

func (s *summed) sha256() string { return hex.EncodeToString(s.hash.Sum(nil)) }
