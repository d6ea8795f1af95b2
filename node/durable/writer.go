// Package durable writes large files that are on disk once they are complete.
package durable

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"
)

const (
	// leastStride and mostStride bound how much is written before a sync is started. The first syncs cover little, and
	// each that was quick lets the next one cover more: on storage that takes minutes for what most disks take in a
	// second, a sync still ends before long, and so shows that the storage moves. Covering more spares quick disks
	// syncs, and covering no more than mostStride leaves little to wait for at the end, and keeps one long sync from
	// holding up all others on the same disk.
	leastStride = 4 << 20
	mostStride  = 64 << 20
	// quickSync is the time within which a sync is quick: storage that then becomes three times slower still ends the
	// next one, of twice as much, within the two minutes after which it would count as hanging.
	quickSync = 10 * time.Second
	slowSync  = 2 * quickSync
)

// backlog is how much may be written while a sync is under way, in strides. A writer that is faster than the disk waits
// here rather than for everything at the end, when a slow disk could not be told from one that hangs.
const backlog = 2

// Unsynced bounds what may not be on disk yet of what a Writer has written, in pieces of up to 1 MiB, to a file that
// was synced before: the data of the sync under way, and what was written meanwhile.
const Unsynced = (2*backlog + 1) * mostStride

// Writer writes to a file and syncs it meanwhile.
type Writer struct {
	// Synced is called whenever a sync, or a piece of one, has ended: the storage takes what is written, however
	// slowly. Two goroutines may call it at once. nil: nobody asks.
	Synced func()

	file    file
	flush   func(from, bytes int64) error // to the storage; nil: that is left to the file's Sync
	at      atomic.Int64                  // where the next byte goes
	synced  int64                         // where the next sync begins
	stride  int64
	written int64         // since the last sync began
	syncing chan synced   // result of the sync under way; nil: none
	before  time.Duration // that the last completed sync took
	failed  error         // errors of completed syncs
}

// file is an *os.File.
type file interface {
	io.Writer
	Sync() error
}

// synced is the result of a sync.
type synced struct {
	took time.Duration
	to   int64 // that is on disk of the file
	err  error
}

// NewWriter returns a writer to a file, which the caller closes after Sync.
func NewWriter(file *os.File) *Writer {
	w := &Writer{file: file, stride: leastStride}
	if at, err := file.Seek(0, io.SeekCurrent); err == nil {
		w.at.Store(at)
		w.synced = at
		w.flush = func(from, bytes int64) error { return flush(file, from, bytes) }
	}
	return w
}

func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.written += int64(n)
	w.at.Add(int64(n))
	if w.written >= backlog*w.stride {
		w.wait()
	}
	if w.written >= w.stride && !w.busy() {
		done, from := make(chan synced, 1), w.synced
		go func() {
			began := time.Now()
			to, err := w.sync(from)
			done <- synced{time.Since(began), to, err}
		}()
		w.written, w.syncing = 0, done
	}
	return n, err
}

// busy tells whether a sync is under way.
func (w *Writer) busy() bool {
	select {
	case s := <-w.syncing: // a nil channel never delivers
		w.ended(s)
	default:
	}
	return w.syncing != nil
}

// wait waits for the sync under way, if there is one.
func (w *Writer) wait() {
	if w.syncing != nil {
		w.ended(<-w.syncing)
	}
}

// ended notes a sync that has ended, and how much the next ones may cover.
func (w *Writer) ended(s synced) {
	// The sync before may have covered what this one was started for.
	took := max(w.before, s.took)
	w.failed, w.syncing, w.before, w.synced = errors.Join(w.failed, s.err), nil, s.took, s.to
	switch {
	case took < quickSync:
		w.stride = min(2*w.stride, mostStride)
	case took > slowSync:
		w.stride = max(w.stride/2, leastStride)
	}
	w.tell()
}

func (w *Writer) tell() {
	if w.Synced != nil {
		w.Synced()
	}
}

// piece is how much is flushed between two calls of Synced.
const piece = 1 << 20

// sync syncs the file from there on, and returns where it ended. It flushes that piece by piece, with what is written
// meanwhile: slow storage may take longer for all of it than for what would count as hanging.
func (w *Writer) sync(from int64) (to int64, err error) {
	for to = from; w.flush != nil && to < w.at.Load(); {
		next := min(to+piece, w.at.Load())
		if err := w.flush(to, next-to); err != nil {
			return to, errors.Join(err, w.file.Sync())
		}
		to = next
		w.tell()
	}
	return to, w.file.Sync()
}

// Sync waits until everything that was written is on disk.
func (w *Writer) Sync() error {
	w.wait()
	_, err := w.sync(w.synced)
	return errors.Join(w.failed, err)
}
