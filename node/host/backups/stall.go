package backups

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/backup"
)

const (
	// runStall is how long a run may make no progress before it is ended, so that another member takes over. Reading a
	// database on a slow disk shows no progress.
	runStall = 6 * time.Hour
	// storeStall is how long a destination may take no byte of a backup before the run continues with the next
	// destination. Bytes that go out to S3 count one by one, not part by part, so that no connection is too slow.
	storeStall = time.Hour
	// readyPoll is the time between two questions to a member that does not answer yet.
	readyPoll = 25 * time.Millisecond
	// stopGrace is how long an ended run may clean up.
	stopGrace = time.Minute
)

// stall returns one of these bounds, scaled down in tests.
func (h Host) stall(bound time.Duration) time.Duration {
	if h.Stalls > 0 {
		return time.Duration(float64(h.Stalls) * bound.Hours() / storeStall.Hours())
	}
	return bound
}

// guarded does the work of a run while it makes progress. It leaves work behind that does not end when its context
// does: the work ends with this process, and the result is reported by the run as it was before.
func (r *run) guarded(ctx context.Context, do func(context.Context) (string, error)) (string, error) {
	type answer struct {
		done string
		err  error
	}
	before := *r
	ended := make(chan answer, 1)
	var a answer
	err := backup.WhileItMoves(ctx, r.stall(runStall), "the "+r.kind, func(ctx context.Context, moved func()) error {
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

// destinations returns the host's destinations, which report each progress to the run, and tell what its earlier runs
// have left.
func (r *run) destinations(ctx context.Context, b api.Backup) ([]destination, error) {
	all, err := r.Host.destinations(ctx, b)
	for i, d := range all {
		if writer := r.writer(); d.directory != nil && writer != "" {
			d.directory.WriteAs(writer)
		}
		all[i] = d.tracked(r.gained)
	}
	return all, err
}

// writer names the runs of this kind of this member, and no others, since the host has booted. It is "" if nothing
// does.
func (r *run) writer() string {
	name := r.writerName(r.marker.Cluster)
	if name == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{name, r.marker.Owner, r.marker.Member, r.kind}, "\n")))
	return hex.EncodeToString(sum[:8])
}

// gained notes progress of the run.
func (r *run) gained() {
	if r.moved != nil {
		r.moved()
	}
}

// tracked returns the destination such that it calls moved for each piece that it takes or gives, and for each answer.
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
