package host

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/locks"
)

// Lock holds the cluster's lock for a run (locks.Host.Hold). Before it calls taken, it deletes what earlier runs have
// abandoned.
func (m *Machine) Lock(ctx context.Context, cluster string, r api.LockRequest, beats io.Reader, silence time.Duration, taken func()) error {
	return m.locks().Hold(ctx, cluster, r.Holder, beats, silence, func() {
		m.snapshots().LetGo(cluster)
		_ = m.arrivals().CleanUp(cluster) // a disk that lets nothing be removed is for this very run to mend
	}, taken)
}

// silence is how long a caller may be silent.
func (m *Machine) silence() time.Duration {
	if m.Silence > 0 {
		return m.Silence
	}
	return api.LockSilence
}

// attended returns a context that ends once the caller has gone, if the caller has promised to speak. A call that
// changes the host completes whether anybody waits for it or not, and has bounds of its own. A fetch may last for hours
// and changes nothing but what the next one continues.
func (m *Machine) attended(ctx context.Context, c call) (context.Context, func()) {
	switch c.Operation {
	case api.OpSave, api.OpRunNow, api.OpFetch:
	default:
		if !c.Operation.ReadOnly() {
			return context.WithCancel(ctx)
		}
	}
	if !c.Beats {
		return context.WithCancel(ctx)
	}
	return m.locks().Attended(ctx, c.Cluster, c.input, m.silence())
}

// attendedWriter writes while the caller is there: a write to a caller that is gone would block for hours.
type attendedWriter struct {
	ctx context.Context
	to  io.Writer
}

func (w attendedWriter) Write(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	written := make(chan result, 1)
	go func() {
		n, err := w.to.Write(p)
		written <- result{n, err}
	}()
	select {
	case r := <-written:
		return r.n, r.err
	case <-w.ctx.Done():
		return 0, context.Cause(w.ctx) // the process ends, and with it the write
	}
}

// arriving reads what a caller sends after its request. Bytes are signs of life, since on a slow connection the
// heartbeats of the caller's lock wait behind them. If no bytes arrive for long, the call ends.
type arriving struct {
	from    *bufio.Reader
	silence time.Duration
	came    func()

	pending chan arrived // of a read that is under way
}

type arrived struct{ err error }

func (a *arriving) Read(p []byte) (int, error) {
	if a.from.Buffered() == 0 {
		if a.pending == nil {
			pending := make(chan arrived, 1)
			a.pending = pending
			go func() {
				_, err := a.from.Peek(1)
				pending <- arrived{err}
			}()
		}
		got, err := locks.Hear(context.Background(), a.pending, a.silence)
		if err != nil {
			return 0, fmt.Errorf("nothing has arrived for %s: %w", a.silence, err)
		}
		a.pending = nil
		if got.err != nil {
			return 0, got.err
		}
	}
	n, err := a.from.Read(p)
	a.came()
	return n, err
}
