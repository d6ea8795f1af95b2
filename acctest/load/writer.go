package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// lane is a client, and the puts that are under way on it.
type lane struct {
	endpoint string // empty: all
	client   *clientv3.Client
	slots    chan struct{}
	users    sync.WaitGroup
}

func newLane(t *tls.Config, inFlight int, sync time.Duration, endpoints ...string) (*lane, error) {
	client, err := application(t, sync, endpoints...)
	if err != nil {
		return nil, err
	}
	l := &lane{client: client, slots: make(chan struct{}, inFlight)}
	if len(endpoints) == 1 {
		l.endpoint = endpoints[0]
	}
	return l, nil
}

// retire closes a client once nobody uses it any more.
func (l *lane) retire() {
	l.users.Wait()
	_ = l.client.Close() // its connections end in any case
}

// writer puts.
type writer struct {
	*instrument
	sequence atomic.Int64
	balanced *lane

	mu   sync.Mutex
	each []*lane
	turn int
}

func newWriter(i *instrument) (*writer, error) {
	balanced, err := newLane(i.tls, i.Config.InFlight, i.Config.Sync, i.Config.Endpoints...)
	if err != nil {
		return nil, err
	}
	balanced.endpoint = ""
	return &writer{instrument: i, balanced: balanced}, nil
}

// set puts through these endpoints from now on. What is under way through others comes to its end.
func (w *writer) set(endpoints []string) {
	w.balanced.client.SetEndpoints(endpoints...)
	w.mu.Lock()
	defer w.mu.Unlock()
	had := map[string]*lane{}
	for _, l := range w.each {
		had[l.endpoint] = l
	}
	w.each = nil
	for _, endpoint := range endpoints {
		l := had[endpoint]
		delete(had, endpoint)
		if l == nil {
			made, err := newLane(w.tls, w.Config.InFlight, 0, endpoint)
			if err != nil {
				// The client dials later, so this is a malformed URL.
				panic(fmt.Sprintf("etcd's client takes no endpoint %q: %v", endpoint, err))
			}
			l = made
		}
		w.each = append(w.each, l)
	}
	for _, l := range had {
		go l.retire()
	}
}

// close ends all clients, once no puts are under way.
func (w *writer) close() {
	w.balanced.retire()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.each {
		l.retire()
	}
}

// pick is the client whose turn it is; the caller is one of its users.
func (w *writer) pick(m Mode) *lane {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.balanced
	if m == Each {
		w.turn++
		l = w.each[w.turn%len(w.each)]
	}
	l.users.Add(1)
	return l
}

// run puts in all modes until it is told to stop or all is put, and returns when no put is under way.
func (w *writer) run(ctx context.Context) {
	if w.Config.Sync > 0 {
		synced, cancel := context.WithCancel(ctx)
		defer cancel()
		go w.mirror(synced)
	}
	var modes sync.WaitGroup
	for _, m := range w.Config.Modes {
		modes.Go(func() {
			ctx, cancel := ctx, func() {}
			if w.Config.For > 0 {
				ctx, cancel = context.WithTimeout(ctx, w.Config.For)
			}
			defer cancel()
			if w.Config.Rate > 0 {
				w.rated(ctx, m)
			} else {
				w.unlimited(ctx, m)
			}
		})
	}
	modes.Wait()
}

// mirror hands on what the balanced client has found in the member list.
func (w *writer) mirror(ctx context.Context) {
	for pause(ctx, 100*time.Millisecond) {
		w.move(w.balanced.client.Endpoints())
	}
}

// rated puts at the rate. A put that would be one too many under way on its client is held, and counted.
func (w *writer) rated(ctx context.Context, m Mode) {
	ended := Ended{Mode: m}
	var flying sync.WaitGroup
	interval := time.Second / time.Duration(w.Config.Rate)
	next := time.Now()
	for n := 0; w.Config.Count == 0 || n < w.Config.Count; {
		if !pause(ctx, time.Until(next)) {
			break
		}
		next = next.Add(interval)
		// A process that did not get to run catches up a little, and never with a flood.
		if behind := time.Since(next); behind > 100*time.Millisecond {
			next = next.Add(behind)
		}
		l := w.pick(m)
		select {
		case l.slots <- struct{}{}:
			n++
			flying.Go(func() {
				w.put(l, m)
				<-l.slots
				l.users.Done()
			})
		default:
			ended.Held++
			l.users.Done()
		}
	}
	ended.At = w.now()
	flying.Wait()
	w.answers <- answer{Ended: &ended}
}

// unlimited puts as fast as answers come, with so many under way at once.
func (w *writer) unlimited(ctx context.Context, m Mode) {
	var flying sync.WaitGroup
	var begun atomic.Int64
	for range w.Config.InFlight {
		flying.Go(func() {
			for ctx.Err() == nil && (begun.Add(1) <= int64(w.Config.Count) || w.Config.Count == 0) {
				l := w.pick(m)
				acknowledged := w.put(l, m)
				l.users.Done()
				if !acknowledged {
					pause(ctx, 10*time.Millisecond) // a server that refuses at once is not to be flooded
				}
			}
		})
	}
	flying.Wait()
	w.answers <- answer{Ended: &Ended{Mode: m, At: w.now()}}
}

// put puts once and tells. It is not cut short when the run ends: its outcome would be unknown for nothing.
func (w *writer) put(l *lane, m Mode) bool {
	p := Put{Sequence: int(w.sequence.Add(1)), Mode: m, Endpoint: l.endpoint, Outcome: Acknowledged}
	var f flight
	ctx, cancel := context.WithTimeout(followed(context.Background(), &f), w.Config.Timeout)
	defer cancel()
	content := value(w.ID, p.Sequence, w.Config.ValueBytes)
	p.Start = w.now()
	response, err := l.client.Put(ctx, key(w.task, p.Sequence), content)
	p.End = w.now()
	if remote := f.remote.Load(); remote != nil && p.Endpoint == "" {
		p.Endpoint = *remote
	}
	if err == nil {
		p.Revision = response.Header.Revision
	} else {
		p.Outcome, p.Error = outcomeOf(err, f.sent.Load() != nil)
	}
	w.answers <- answer{Put: &p}
	return err == nil
}

// refusals are etcd's own words for a put that it has not done and will not do.
var refusals = []error{
	rpctypes.ErrNoSpace, rpctypes.ErrTooManyRequests, rpctypes.ErrRequestTooLarge, rpctypes.ErrPermissionDenied, rpctypes.ErrEmptyKey,
	rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner),
}

// outcomeOf tells how a put ended that failed.
func outcomeOf(err error, sent bool) (Outcome, string) {
	if !sent {
		return Refused, err.Error() + " (never sent)"
	}
	for _, refusal := range refusals {
		if errors.Is(err, refusal) {
			return Refused, err.Error()
		}
	}
	return Unknown, err.Error()
}

// key is the key of a put.
func key(t task, sequence int) string {
	return fmt.Sprintf("%s%010d", keys(t), sequence)
}

// keys is what all keys of a run begin with.
func keys(t task) string { return t.Config.Prefix + t.ID + "/" }

// value is the value of a put: what tells it apart, and then bytes that do not compress, the same at every call.
func value(id string, sequence, size int) string {
	head := fmt.Sprintf("%s/%d ", id, sequence)
	if size <= len(head) {
		return head
	}
	content := make([]byte, size)
	var seed [32]byte
	copy(seed[:], head)
	_, _ = rand.NewChaCha8(seed).Read(content) // it never fails
	copy(content, head)
	return string(content)
}

// pause waits, and tells whether the context lasts.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
