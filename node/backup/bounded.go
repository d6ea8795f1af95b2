package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// ErrStorageHangs is returned for a destination or a file that does not answer, e.g. because the server of a network
// file system is gone and its mount waits for it forever.
var ErrStorageHangs = errors.New("the storage does not answer")

// OpenBounded opens something that may lie on a file system that no longer answers, and bounds the reads from it as
// well. Errors call it by name.
func OpenBounded(name string, patience time.Duration, open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	from := &deadline{name: name, patience: patience}
	content, err := boundedCall(from, func(func()) (io.ReadCloser, error) { return open() })
	if err != nil {
		return nil, err
	}
	return &boundedReader{from, content}, nil
}

// Bounded returns a destination whose calls end once they have made no progress for patience. A call to a file system
// cannot be canceled: it keeps waiting in its own goroutine, at the latest until the process ends. A destination that
// has failed to answer once is not called again.
func Bounded(at Destination, patience time.Duration) Destination {
	return &bounded{deadline{name: fmt.Sprint(at), patience: patience}, at}
}

type bounded struct {
	deadline
	at Destination
}

// String names the destination in messages.
func (b *bounded) String() string { return b.name }

// BoundedDirectory is a directory within such bounds.
type BoundedDirectory struct {
	*bounded
	directory *Directory
}

// BoundDirectory returns a directory whose calls end as those of Bounded do.
func BoundDirectory(d *Directory, patience time.Duration) *BoundedDirectory {
	return &BoundedDirectory{&bounded{deadline{name: d.root, patience: patience}, d}, d}
}

// WriteAs says who writes, as that of Directory does.
func (b *BoundedDirectory) WriteAs(writer string) { b.directory.WriteAs(writer) }

// deadline bounds how long calls to one destination may make no progress, and refuses all calls after one that hung.
type deadline struct {
	name     string
	patience time.Duration
	hangs    atomic.Bool
}

// List implements Source. It may last as long as the destination finds more.
func (b *bounded) List(ctx context.Context, prefix string) ([]Object, error) {
	return boundedCall(&b.deadline, func(beat func()) ([]Object, error) { return b.at.List(WithBeat(ctx, beat), prefix) })
}

// Open implements Source.
func (b *bounded) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	content, err := boundedCall(&b.deadline, func(func()) (io.ReadCloser, error) { return b.at.Open(ctx, key) })
	if err != nil {
		return nil, err
	}
	return &boundedReader{&b.deadline, content}, nil
}

// Put implements Destination. It may last as long as content is read, or the destination reports that it takes what it
// was given. One that is given up ends once the destination answers again, and leaves nothing then. content may be
// bounded likewise: if it hangs, it says so before the destination counts as hanging.
func (b *bounded) Put(ctx context.Context, key string, size int64, content io.Reader) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	_, err := boundedCall(&b.deadline, func(beat func()) (struct{}, error) {
		return struct{}{}, b.at.Put(WithBeat(ctx, beat), key, size, fed{beating{content, beat}, b.patience})
	})
	giveUp(err)
	return err
}

// Remove implements Destination.
func (b *bounded) Remove(ctx context.Context, key string) error {
	_, err := boundedCall(&b.deadline, func(func()) (struct{}, error) { return struct{}{}, b.at.Remove(ctx, key) })
	return err
}

// Clock implements Destination.
func (b *bounded) Clock(ctx context.Context) (time.Time, error) {
	return boundedCall(&b.deadline, func(func()) (time.Time, error) { return b.at.Clock(ctx) })
}

// Sweep implements Destination. It may last as long as the destination finds more.
func (b *bounded) Sweep(ctx context.Context, prefix string, before time.Time) error {
	_, err := boundedCall(&b.deadline, func(beat func()) (struct{}, error) {
		return struct{}{}, b.at.Sweep(WithBeat(ctx, beat), prefix, before)
	})
	return err
}

func boundedCall[T any](p *deadline, do func(beat func()) (T, error)) (T, error) {
	if p.hangs.Load() {
		var none T
		return none, fmt.Errorf("%s: %w", p.name, ErrStorageHangs)
	}
	found, hangs, err := unlessItHangs(p.patience, do)
	if hangs {
		p.hangs.Store(true)
		err = fmt.Errorf("%s: %w", p.name, err)
	}
	return found, err
}

// beating reports progress for each piece that is read.
type beating struct {
	io.Reader
	beat func()
}

func (b beating) Read(p []byte) (int, error) {
	b.beat()
	n, err := b.Reader.Read(p)
	b.beat()
	return n, err
}

// fed reads content for a destination, which has half as long again for a piece that does not come: the piece may come
// from storage that is given up after the same time.
type fed struct {
	beating
	patience time.Duration
}

func (f fed) Read(p []byte) (int, error) {
	defer time.AfterFunc(f.patience/2, f.beat).Stop()
	return f.beating.Read(p)
}

// boundedReader reads an object within the bounds of its destination.
type boundedReader struct {
	from    *deadline
	content io.ReadCloser
}

// Read reads into a buffer of its own, since an abandoned read may still write to it.
func (r *boundedReader) Read(p []byte) (int, error) {
	piece, err := boundedCall(r.from, func(func()) ([]byte, error) {
		own := make([]byte, len(p))
		n, err := r.content.Read(own)
		return own[:n], err
	})
	return copy(p, piece), err
}

// Close does not wait for a destination that does not answer.
func (r *boundedReader) Close() error {
	_, err := boundedCall(r.from, func(func()) (struct{}, error) { return struct{}{}, r.content.Close() })
	if errors.Is(err, ErrStorageHangs) {
		return nil
	}
	return err
}
