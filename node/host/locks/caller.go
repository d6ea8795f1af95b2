package locks

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"
)

// Why a caller counts as gone: it was killed, sleeps, or is cut off. sshd itself would notice only after hours.
var (
	ErrHungUp = errors.New("the caller has hung up")
	ErrSilent = errors.New("the caller has fallen silent")
)

// silentSteps is in how many steps a silence is counted.
const silentSteps = 10

// Hear returns what comes next. It returns ErrHungUp once the channel is closed, ErrSilent once nothing has come for as
// long as silence, and the cause of ctx once ctx has ended.
//
// It counts the silence in steps, and a step that is late counts once: a machine that is paused, or waits for its disk,
// hears nobody. So what has come meanwhile, or arrives soon after, is heard before the silence is over.
func Hear[T any](ctx context.Context, from <-chan T, silence time.Duration) (T, error) {
	heard := func(came T, open bool) (T, error) {
		if !open {
			return came, ErrHungUp
		}
		return came, nil
	}
	var none T
	step := time.NewTicker(max(silence/silentSteps, 1))
	defer step.Stop()
	for range silentSteps {
		select {
		case came, open := <-from:
			return heard(came, open)
		case <-ctx.Done():
			return none, context.Cause(ctx)
		case <-step.C:
		}
	}
	select {
	case came, open := <-from:
		return heard(came, open)
	default:
		return none, ErrSilent
	}
}

// Attended returns a context that ends once the caller has gone, who writes lines: with ErrHungUp once the lines have
// ended, and with ErrSilent once none has come for as long as silence and no bytes arrive for the cluster either. It
// ends with ctx as well. The returned function ends it too.
func (h Host) Attended(ctx context.Context, cluster string, lines io.Reader, silence time.Duration) (context.Context, func()) {
	ctx, gone := context.WithCancelCause(ctx)
	line := listen(lines)
	go func() {
		for wait := silence; ; {
			_, err := Hear(ctx, line, wait)
			switch {
			case err == nil:
				wait = silence
			case errors.Is(err, ErrSilent) && h.arrivesStill(cluster, silence): // the lines wait behind an upload
				wait = silence / lateBeats
			case errors.Is(err, ErrSilent) && len(line) > 0: // it came while a slow disk was asked what arrives
			default:
				gone(err)
				return
			}
		}
	}()
	return ctx, func() { gone(nil) }
}

// listen tells of every line that arrives, and is closed at their end.
func listen(from io.Reader) <-chan struct{} {
	line := make(chan struct{}, 1)
	go func() {
		defer close(line)
		for lines := bufio.NewScanner(from); lines.Scan(); {
			select {
			case line <- struct{}{}:
			default: // one that nobody waits for has been counted by the one before
			}
		}
	}()
	return line
}
