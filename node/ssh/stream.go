package ssh

import (
	"io"
	"sync"
)

// output passes a command's output to the caller's writer until the command has ended for the caller, who may then use
// the writer again. A failing writer ends the command, which would otherwise hang with its output undrained.
type output struct {
	mu   sync.Mutex
	w    io.Writer // nil: ended, or not wanted
	fail func(error)
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.w == nil {
		return len(p), nil
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.w = nil
		o.fail(err)
	}
	return n, err
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w = nil
}

// input feeds a command from the caller's reader. A failing reader ends the command, and returns its error only then:
// the command would take the end of its input for the end of the data.
type input struct {
	r    io.Reader
	over <-chan struct{} // closed when the command has ended
	fail func(error)
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if err != nil && err != io.EOF {
		i.fail(err)
		<-i.over
	}
	return n, err
}

// tail is a writer that keeps the last bytes written: the end of stderr is where a program says why it failed.
type tail struct {
	mu    sync.Mutex
	limit int // bytes, above 0
	kept  []byte
	cut   bool // something was left out before kept
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
		t.cut = true
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut {
		return "..." + string(t.kept)
	}
	return string(t.kept)
}
