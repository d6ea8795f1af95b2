package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// ErrHangs is what a destination says that does not answer: the server of a network file system is gone, say, and its
// mount waits for it for ever.
var ErrHangs = errors.New("it does not answer")

// OpenBounded opens something that may lie where nothing answers any more, and bounds what is read from it as well. Errors
// call it by its name.
func OpenBounded(name string, patience time.Duration, open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	from := &patient{name: name, patience: patience}
	content, err := ask(from, func(func()) (io.ReadCloser, error) { return open() })
	if err != nil {
		return nil, err
	}
	return &boundedReader{from, content}, nil
}

// Bounded is a destination whose calls end where they come to nothing for some time. No call to a file system can be
// given up: it is left to wait in a goroutine of its own, which ends with the process at the latest. One that has not
// answered once is asked no more.
func Bounded(at Destination, patience time.Duration) Destination {
	return &bounded{patient{name: fmt.Sprint(at), patience: patience}, at}
}

type bounded struct {
	patient
	at Destination
}

// String names the destination in messages.
func (b *bounded) String() string { return b.name }

// patient is who waits for something no longer than for so long at a time, and not at all once that was in vain.
type patient struct {
	name     string
	patience time.Duration
	hangs    atomic.Bool
}

// List implements Source. It lasts as long as the destination finds more.
func (b *bounded) List(ctx context.Context, prefix string) ([]Object, error) {
	return ask(&b.patient, func(beat func()) ([]Object, error) { return b.at.List(WithBeat(ctx, beat), prefix) })
}

// Open implements Source.
func (b *bounded) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	content, err := ask(&b.patient, func(func()) (io.ReadCloser, error) { return b.at.Open(ctx, key) })
	if err != nil {
		return nil, err
	}
	return &boundedReader{&b.patient, content}, nil
}

// Put implements Destination. It lasts as long as the content is read.
func (b *bounded) Put(ctx context.Context, key string, size int64, content io.Reader) error {
	_, err := ask(&b.patient, func(beat func()) (struct{}, error) {
		return struct{}{}, b.at.Put(ctx, key, size, beating{content, beat})
	})
	return err
}

// Remove implements Destination.
func (b *bounded) Remove(ctx context.Context, key string) error {
	_, err := ask(&b.patient, func(func()) (struct{}, error) { return struct{}{}, b.at.Remove(ctx, key) })
	return err
}

// Clock implements Destination.
func (b *bounded) Clock(ctx context.Context) (time.Time, error) {
	return ask(&b.patient, func(func()) (time.Time, error) { return b.at.Clock(ctx) })
}

// Sweep implements Destination. It lasts as long as the destination finds more.
func (b *bounded) Sweep(ctx context.Context, prefix string, before time.Time) error {
	_, err := ask(&b.patient, func(beat func()) (struct{}, error) {
		return struct{}{}, b.at.Sweep(WithBeat(ctx, beat), prefix, before)
	})
	return err
}

// beatKey is of the context of a call by which it tells that it comes further.
type beatKey struct{}

// WithBeat is a context of calls that are to tell when they come further. Whoever waits around them is told too.
func WithBeat(ctx context.Context, tell func()) context.Context {
	return context.WithValue(ctx, beatKey{}, func() {
		tell()
		beat(ctx)
	})
}

// beat tells whoever waits for a call, if anybody does, that it comes further.
func beat(ctx context.Context) {
	if beat, waited := ctx.Value(beatKey{}).(func()); waited {
		beat()
	}
}

func ask[T any](p *patient, do func(beat func()) (T, error)) (T, error) {
	if p.hangs.Load() {
		var none T
		return none, fmt.Errorf("%s: %w", p.name, ErrHangs)
	}
	found, err := UnlessItHangs(p.patience, do)
	if errors.Is(err, ErrHangs) {
		p.hangs.Store(true)
		err = fmt.Errorf("%s: %w", p.name, err)
	}
	return found, err
}

// UnlessItHangs does something that may never end, and gives it up where it has neither ended nor called beat for so long.
// What was given up may go on: do changes nothing that others use.
func UnlessItHangs[T any](patience time.Duration, do func(beat func()) (T, error)) (T, error) {
	type answer struct {
		found T
		err   error
	}
	done, beats := make(chan answer, 1), make(chan struct{}, 1)
	go func() {
		found, err := do(func() {
			select {
			case beats <- struct{}{}:
			default:
			}
		})
		done <- answer{found, err}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case a := <-done:
			return a.found, a.err
		case <-beats:
			timer.Reset(patience)
		case <-timer.C:
			var none T
			return none, fmt.Errorf("nothing has come of a call for %s: %w", patience, ErrHangs)
		}
	}
}

// beating tells of each piece that is read.
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

// boundedReader reads an object.
type boundedReader struct {
	from    *patient
	content io.ReadCloser
}

// Read reads into a buffer of its own: one that was given up may still write to it.
func (r *boundedReader) Read(p []byte) (int, error) {
	piece, err := ask(r.from, func(func()) ([]byte, error) {
		own := make([]byte, len(p))
		n, err := r.content.Read(own)
		return own[:n], err
	})
	return copy(p, piece), err
}

// Close does not wait for what does not answer.
func (r *boundedReader) Close() error {
	_, err := ask(r.from, func(func()) (struct{}, error) { return struct{}{}, r.content.Close() })
	if errors.Is(err, ErrHangs) {
		return nil
	}
	return err
}
