package ssh

import (
	"errors"
	"testing"
	"testing/iotest"
	"time"
)

// A command must not take the end of a broken input for the end of the data: it is told to stop first.
func TestBrokenInputIsHeldBackUntilTheCommandIsOver(t *testing.T) {
	broken := errors.New("the local file is gone")
	over, failed, read := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	in := &input{r: iotest.ErrReader(broken), over: over, fail: func(err error) { failed <- err }}
	go func() {
		_, err := in.Read(make([]byte, 1))
		read <- err
	}()
	if err := <-failed; err != broken {
		t.Errorf("reported %v", err)
	}
	select {
	case err := <-read:
		t.Fatalf("the end of the input got through: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(over)
	if err := <-read; err != broken {
		t.Errorf("read %v", err)
	}
}
