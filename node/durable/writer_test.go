package durable

import (
	"bytes"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// TestWriter holds that a file that is synced while it is written has the same content as any other.
func TestWriter(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := NewWriter(file)
	piece := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	const pieces = 3*stride>>20 + 1
	begun := 0
	for range pieces {
		before := w.syncing
		if n, err := w.Write(piece); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
		if w.syncing != nil && w.syncing != before {
			begun++
		}
	}
	if begun == 0 {
		t.Error("nothing was synced before the end")
	}
	if err := w.Sync(); err != nil || w.syncing != nil {
		t.Errorf("the sync: %v", err)
	}
	content, err := os.ReadFile(file.Name())
	if err != nil || !bytes.Equal(content, bytes.Repeat(piece, pieces)) {
		t.Errorf("it holds %d bytes, and another content: %v", len(content), err)
	}
}

// TestWriterWaitsForTheDisk holds that no more than the backlog is written while a sync is under way.
func TestWriterWaitsForTheDisk(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := NewWriter(file)
	slow := make(chan error)
	w.syncing, w.written = slow, backlog-1
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := w.Write([]byte("x")); err != nil {
			t.Error(err)
		}
	}()
	slow <- nil // only a waiting writer receives this
	<-ended
	if err := w.Sync(); err != nil {
		t.Error(err)
	}
}

// TestWriterTellsOfAFailure holds that a failed sync is reported, even if later ones succeed.
func TestWriterTellsOfAFailure(t *testing.T) {
	read, write, err := os.Pipe() // a pipe cannot be synced
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	w := NewWriter(write)
	w.written = stride
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for w.busy() {
	}
	w.file, err = os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.file.Close()
	if err := w.Sync(); err == nil {
		t.Error("a sync that failed was forgotten")
	}
}

// TestWriterBoundsWhatIsNotOnTheDisk holds that Unsynced covers a sync that does not end, and what is written
// meanwhile.
func TestWriterBoundsWhatIsNotOnTheDisk(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, piece := NewWriter(file), make([]byte, 1<<20)
	slow := make(chan error)
	w.syncing = slow
	var written atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range Unsynced / len(piece) {
			written.Add(int64(len(piece)))
			if _, err := w.Write(piece); err != nil {
				t.Error(err)
			}
		}
	}()
	for written.Load() < backlog {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // a writer that does not wait goes on meanwhile
	// The next sync covers all of that, and as much again is written meanwhile.
	if n := written.Load(); 2*n > Unsynced {
		t.Errorf("%d bytes may be missing, and %d are allowed for", 2*n, Unsynced)
	}
	slow <- nil
	<-ended
	if err := w.Sync(); err != nil {
		t.Error(err)
	}
}
