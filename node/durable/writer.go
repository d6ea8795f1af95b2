// Package durable writes large files that are on disk once they are complete.
package durable

import (
	"errors"
	"os"
)

// stride is how much is written before a sync is started. A slow disk takes a second for 64 MiB, so little is left to
// wait for at the end. It also keeps one long sync from holding up all others on the same disk.
const stride = 64 << 20

// backlog is how much may be written while a sync is under way. A writer that is faster than the disk waits here
// rather than for everything at the end, when a slow disk could not be told from one that hangs.
const backlog = 2 * stride

// Unsynced bounds what may not be on disk yet of what a Writer has written, in pieces of up to 1 MiB, to a file that
// was synced before: the data of the sync under way, and what was written meanwhile.
const Unsynced = 2*backlog + stride

// Writer writes to a file and syncs it meanwhile.
type Writer struct {
	file    *os.File
	written int64      // since the last sync began
	syncing chan error // result of the sync under way; nil: none
	failed  error      // errors of completed syncs
}

// NewWriter returns a writer to a file, which the caller closes after Sync.
func NewWriter(file *os.File) *Writer { return &Writer{file: file} }

func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.written += int64(n)
	if w.written >= backlog {
		w.wait()
	}
	if w.written >= stride && !w.busy() {
		done := make(chan error, 1)
		go func() { done <- w.file.Sync() }()
		w.written, w.syncing = 0, done
	}
	return n, err
}

// busy tells whether a sync is under way.
func (w *Writer) busy() bool {
	select {
	case err := <-w.syncing: // a nil channel never delivers
		w.failed, w.syncing = errors.Join(w.failed, err), nil
	default:
	}
	return w.syncing != nil
}

// wait waits for the sync under way, if there is one.
func (w *Writer) wait() {
	if w.syncing != nil {
		w.failed, w.syncing = errors.Join(w.failed, <-w.syncing), nil
	}
}

// Sync waits until everything that was written is on disk.
func (w *Writer) Sync() error {
	w.wait()
	return errors.Join(w.failed, w.file.Sync())
}
