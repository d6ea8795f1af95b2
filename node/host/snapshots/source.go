package snapshots

import (
	"context"
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

	Broken error // why reading failed; nil: the source was read to its end
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
	Size    int64  // bytes, as stored there
	SHA256  string // as stored there; empty: unknown
	TakenAt time.Time
}

// Skip resumes a source behind its first bytes, this many of them.
func (o *Source) Skip(bytes int64) error { return o.ReadCloser.(backup.Resumable).Skip(bytes) }

// Until returns a reader that fails with the cause of ctx once ctx has ended.
func Until(ctx context.Context, from io.Reader) io.Reader { return until{ctx, from} }

type until struct {
	context.Context
	from io.Reader
}

func (u until) Read(p []byte) (int, error) {
	if u.Err() != nil {
		return 0, context.Cause(u)
	}
	return u.from.Read(p)
}
