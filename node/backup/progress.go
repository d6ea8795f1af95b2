package backup

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// beatKey is the context key of the function by which a call reports progress.
type beatKey struct{}

// WithBeat returns a context for calls that report progress to tell, and to outer contexts that wait for progress.
func WithBeat(ctx context.Context, tell func()) context.Context {
	return context.WithValue(ctx, beatKey{}, func() {
		tell()
		beat(ctx)
	})
}

// beat reports progress of a call to whoever waits for it.
func beat(ctx context.Context) {
	if beat, waited := ctx.Value(beatKey{}).(func()); waited {
		beat()
	}
}

// UnlessItHangs runs do, which may never end, and gives up once it has neither ended nor called beat for patience. An
// abandoned do may go on, so it must not change anything that others use.
func UnlessItHangs[T any](patience time.Duration, do func(beat func()) (T, error)) (T, error) {
	found, _, err := unlessItHangs(patience, do)
	return found, err
}

// unlessItHangs also tells whether do was given up: do may itself return that something else hangs.
func unlessItHangs[T any](patience time.Duration, do func(beat func()) (T, error)) (found T, hung bool, err error) {
	type answer struct {
		found T
		err   error
	}
	done, hangs := make(chan answer, 1), make(chan struct{})
	w := watch(patience, func() { close(hangs) })
	defer w.stop()
	go func() {
		found, err := do(w.beat)
		done <- answer{found, err}
	}()
	select {
	case a := <-done:
		return a.found, false, a.err
	case <-hangs:
		return found, true, fmt.Errorf("a call has made no progress for %s: %w", patience, ErrStorageHangs)
	}
}

// WhileItMoves runs do without a deadline. The context of do ends if do has not called moved for as long as bound.
func WhileItMoves(ctx context.Context, bound time.Duration, what string, do func(ctx context.Context, moved func()) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	w := watch(bound, func() {
		end(fmt.Errorf("%s came no further for %s, and was ended: %w", what, bound, context.DeadlineExceeded))
	})
	defer w.stop()
	return do(ctx, w.beat)
}

// watchSteps is in how many steps a time without progress is counted.
const watchSteps = 10

// watcher waits for progress, and counts the time without any in steps. A step that is late counts once: on a machine
// that was paused, or had no time for this process, the progress of that time is seen before the time is over.
type watcher struct {
	step  time.Duration
	still func()

	mu    sync.Mutex
	left  int // steps; 0: it is over
	timer *time.Timer
}

// Watch calls still once beat has not been called for patience, until stop is called. A machine that was paused has
// made no progress meanwhile, and is given the time to.
func Watch(patience time.Duration, still func()) (beat, stop func()) {
	w := watch(patience, still)
	return w.beat, w.stop
}

// watch does the same.
func watch(patience time.Duration, still func()) *watcher {
	w := &watcher{step: max(patience/watchSteps, 1), still: still, left: watchSteps}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.step, w.stepped)
	return w
}

func (w *watcher) stepped() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		return
	}
	if w.left--; w.left > 0 {
		w.timer.Reset(w.step)
		return
	}
	w.still()
}

// beat notes progress.
func (w *watcher) beat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left > 0 {
		w.left = watchSteps
		w.timer.Reset(w.step)
	}
}

// stop ends the wait.
func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = 0
	w.timer.Stop()
}
