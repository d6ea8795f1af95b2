// Package durable writes big files that are on the disk once they are whole.
package durable

import (
	"errors"
	"os"
)

// stride is how much is written before the disk is set to work on it: 64 MiB take a slow one a second, and leave
// little to wait for in the end. It also keeps one long sync from holding up all others on the same disk.
const stride = 64 << 20

// backlog is how much may be written beside a sync that is under way. Whoever writes faster than the disk waits for it
// here, and not for all of it in the end: until then nobody could tell a disk that is slow from one that hangs.
const backlog = 2 * stride

// Unsynced is more than may be missing on the disk of what a Writer has written, in pieces of up to 1 MiB, to a file that
// was synced before: what the sync under way is for, and what was written beside it.
const Unsynced = 2*backlog + stride

// Writer writes to a file, and has the disk at work meanwhile.
type Writer struct {
	file    *os.File
	written int64      // since the last sync was begun
	syncing chan error // of the sync that is under way; nil: none is
	failed  error      // what came of the others
}

// NewWriter writes to a file, which stays the caller's to close, after Sync.
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
	case err := <-w.syncing: // never of none
		w.failed, w.syncing = errors.Join(w.failed, err), nil
	default:
	}
	return w.syncing != nil
}

// wait waits for the sync that is under way, where one is.
func (w *Writer) wait() {
	if w.syncing != nil {
		w.failed, w.syncing = errors.Join(w.failed, <-w.syncing), nil
	}
}

// Sync waits until all that was written is on the disk.
func (w *Writer) Sync() error {
	w.wait()
	return errors.Join(w.failed, w.file.Sync())
}
