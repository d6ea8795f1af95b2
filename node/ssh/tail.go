package ssh

import "sync"

// tail is a writer that keeps the end of what was written, within a limit: the end of stderr is where
// a program says why it died.
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
