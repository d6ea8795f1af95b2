package backups

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
)

const (
	// runStall is for how long a run may come no further until it is ended, so that another member takes over. Reading the
	// database of a slow disk tells of nothing on the way.
	runStall = 6 * time.Hour
	// storeStall is for how long a destination may take no byte of a backup until the run goes on to the next one. Bytes that
	// go out to S3 count one by one, and not the parts that they are of, so that no connection is too slow.
	storeStall = time.Hour
	// readyPoll is how often a member is asked that does not answer yet.
	readyPoll = 25 * time.Millisecond
	// stopGrace is for how long a run that was ended may clean up.
	stopGrace = time.Minute
)

// stall is a bound of these, in tests on their scale.
func (h Host) stall(bound time.Duration) time.Duration {
	if h.Stalls > 0 {
		return time.Duration(float64(h.Stalls) * bound.Hours() / storeStall.Hours())
	}
	return bound
}

// whileItMoves does something that may take as long as it likes: its context ends where it has not called moved for so long.
func whileItMoves(ctx context.Context, bound time.Duration, what string, do func(ctx context.Context, moved func()) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	timer := time.AfterFunc(bound, func() {
		end(fmt.Errorf("%s came no further for %s, and was ended: %w", what, bound, context.DeadlineExceeded))
	})
	defer timer.Stop()
	return do(ctx, func() { timer.Reset(bound) })
}

// guarded does the work of a run while it moves. What does not even end when it is told to is left behind: it ends with
// this process, and the run tells of it by what it was before.
func (r *run) guarded(ctx context.Context, do func(context.Context) (string, error)) (string, error) {
	type answer struct {
		done string
		err  error
	}
	before := *r
	ended := make(chan answer, 1)
	var a answer
	err := whileItMoves(ctx, r.stall(runStall), "the "+r.kind, func(ctx context.Context, moved func()) error {
		r.moved = moved
		go func() {
			done, err := do(ctx)
			ended <- answer{done, err}
		}()
		select {
		case a = <-ended:
			return a.err
		case <-ctx.Done():
		}
		select {
		case a = <-ended:
			return a.err
		case <-time.After(r.stall(stopGrace)):
			r.left = &before
			return context.Cause(ctx)
		}
	})
	return a.done, err
}

// destinations are those of the machine, which tell of what comes and goes.
func (r *run) destinations(ctx context.Context, b api.Backup) ([]destination, error) {
	all, err := r.Host.destinations(ctx, b)
	for i := range all {
		all[i] = all[i].tracked(r.gained)
	}
	return all, err
}

// gained notes that the run comes further.
func (r *run) gained() {
	if r.moved != nil {
		r.moved()
	}
}

// tracked is the destination; it calls moved for each piece that it takes or gives, and each call that it has answered.
func (d destination) tracked(moved func()) destination {
	d.Destination = &tracked{d.Destination, moved}
	return d
}

type tracked struct {
	backup.Destination
	moved func()
}

// String names the destination in messages.
func (t *tracked) String() string { return fmt.Sprint(t.Destination) }

func (t *tracked) List(ctx context.Context, prefix string) ([]backup.Object, error) {
	defer t.moved()
	return t.Destination.List(backup.WithBeat(ctx, t.moved), prefix)
}

func (t *tracked) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	content, err := t.Destination.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	t.moved()
	return struct {
		io.Reader
		io.Closer
	}{trackedReader{content, t.moved}, content}, nil
}

func (t *tracked) Put(ctx context.Context, key string, size int64, content io.Reader) error {
	return t.Destination.Put(backup.WithBeat(ctx, t.moved), key, size, trackedReader{content, t.moved})
}

func (t *tracked) Remove(ctx context.Context, key string) error {
	defer t.moved()
	return t.Destination.Remove(ctx, key)
}

func (t *tracked) Clock(ctx context.Context) (time.Time, error) {
	defer t.moved()
	return t.Destination.Clock(ctx)
}

func (t *tracked) Sweep(ctx context.Context, prefix string, before time.Time) error {
	defer t.moved()
	return t.Destination.Sweep(backup.WithBeat(ctx, t.moved), prefix, before)
}

type trackedReader struct {
	io.Reader
	moved func()
}

func (t trackedReader) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if n > 0 {
		t.moved()
	}
	return n, err
}
