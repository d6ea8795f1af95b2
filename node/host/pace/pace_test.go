package pace

import (
	"errors"
	"io"
	"testing"
	"time"
)

// TestFlowing holds that a reader is given up once nothing comes, and not before.
func TestFlowing(t *testing.T) {
	t.Parallel()
	from, to := io.Pipe()
	gone := errors.New("given up")
	go func() {
		for range 5 {
			_, _ = to.Write([]byte("x"))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	got, err := io.ReadAll(Flowing(from, time.Second, func() { _ = from.CloseWithError(gone) }))
	if string(got) != "xxxxx" || !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, gone) {
		t.Errorf("%q, %v", got, err)
	}
}
