package snapshots

import (
	"errors"
	"hash"
	"io"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
)

// Counted counts and hashes what is read through it.
type Counted struct {
	From  io.Reader
	Hash  hash.Hash
	Bytes int64

	Broken error // why no more could be read; nil: it was read to its end
}

func (c *Counted) Read(p []byte) (int, error) {
	n, err := c.From.Read(p)
	c.Hash.Write(p[:n])
	c.Bytes += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.Broken = err
	}
	return n, err
}

// Source is where a snapshot comes from.
type Source struct {
	io.ReadCloser
	What    string // in errors
	Size    int64  // bytes, as it lies there
	SHA256  string // as it lies there; empty: not known
	TakenAt time.Time
}

// Skip goes on behind the first so many bytes of what can be gone on with.
func (o *Source) Skip(bytes int64) error { return o.ReadCloser.(backup.Resumable).Skip(bytes) }
