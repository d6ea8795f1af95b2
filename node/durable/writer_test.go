package durable

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	const pieces = 3*mostStride>>20 + 1
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
	slow := make(chan synced)
	w.syncing, w.written = slow, backlog*w.stride-1
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := w.Write([]byte("x")); err != nil {
			t.Error(err)
		}
	}()
	slow <- synced{} // only a waiting writer receives this
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
	w.written = w.stride
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for w.busy() {
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w.file = file
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
	slow := make(chan synced)
	w.syncing, w.stride = slow, mostStride
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
	for written.Load() < backlog*mostStride {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // a writer that does not wait goes on meanwhile
	// The next sync covers all of that, and as much again is written meanwhile.
	if n := written.Load(); 2*n > Unsynced {
		t.Errorf("%d bytes may be missing, and %d are allowed for", 2*n, Unsynced)
	}
	slow <- synced{}
	<-ended
	if err := w.Sync(); err != nil {
		t.Error(err)
	}
}

// slowDisk takes what is written at once, and syncs as many bytes a second as it can.
type slowDisk struct {
	bytesPerSecond atomic.Int64
	dirty, syncs   atomic.Int64
}

func (d *slowDisk) Write(p []byte) (int, error) { d.dirty.Add(int64(len(p))); return len(p), nil }

func (d *slowDisk) Sync() error {
	d.syncs.Add(1)
	time.Sleep(time.Duration(float64(d.dirty.Swap(0)) / float64(d.bytesPerSecond.Load()) * float64(time.Second)))
	return nil
}

// TestWriterShowsThatSlowStorageMoves holds that no write and no sync takes as long as storage that hangs may take,
// two minutes, on storage that is slow or becomes slow; and that quick storage is not asked for many syncs.
func TestWriterShowsThatSlowStorageMoves(t *testing.T) {
	const hangs, piece, pieces = 2 * time.Minute, 32 << 10, 512 << 20 / (32 << 10)
	for name, test := range map[string]struct{ first, then, syncs int64 }{
		"quick":                  {500 << 20, 500 << 20, 14},
		"slow":                   {200 << 10, 200 << 10, 512},
		"slow once it was quick": {8 << 20, 1500 << 10, 512},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, moved := &slowDisk{}, time.Now()
				disk.bytesPerSecond.Store(test.first)
				longest := time.Duration(0)
				moves := func() { longest, moved = max(longest, time.Since(moved)), time.Now() }
				w := &Writer{file: disk, stride: leastStride, Synced: moves}
				for i := range pieces {
					if i == pieces/2 {
						disk.bytesPerSecond.Store(test.then)
					}
					if _, err := w.Write(make([]byte, piece)); err != nil {
						t.Fatal(err)
					}
					moves()
				}
				if err := w.Sync(); err != nil {
					t.Fatal(err)
				}
				if moves(); longest >= hangs || disk.syncs.Load() > test.syncs {
					t.Errorf("nothing moved for %s, and there were %d syncs", longest, disk.syncs.Load())
				}
			})
		})
	}
}

// flush takes bytes off what a sync would have to do.
func (d *slowDisk) flush(_, bytes int64) error {
	d.dirty.Add(-bytes)
	time.Sleep(time.Duration(float64(bytes) / float64(d.bytesPerSecond.Load()) * float64(time.Second)))
	return nil
}

// TestWriterShowsThatVerySlowStorageMoves holds that storage that takes longer for the least that is synced at once
// than storage that hangs may take shows that it moves all the same, up to the end.
func TestWriterShowsThatVerySlowStorageMoves(t *testing.T) {
	const hangs, pieces = 2 * time.Minute, 64 << 20 / (32 << 10)
	synctest.Test(t, func(t *testing.T) {
		disk, moved := &slowDisk{}, time.Now()
		disk.bytesPerSecond.Store(20 << 10)
		var mu sync.Mutex
		longest := time.Duration(0)
		moves := func() {
			mu.Lock()
			defer mu.Unlock()
			longest, moved = max(longest, time.Since(moved)), time.Now()
		}
		w := &Writer{file: disk, flush: disk.flush, stride: leastStride, Synced: moves}
		for range pieces {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				t.Fatal(err)
			}
			moves()
		}
		if err := w.Sync(); err != nil {
			t.Fatal(err)
		}
		if moves(); longest >= hangs || disk.dirty.Load() != 0 {
			t.Errorf("nothing moved for %s, and %d bytes are not on disk", longest, disk.dirty.Load())
		}
	})
}

// TestWriterFlushesWhatWasWritten holds that a writer asks the storage for all that it has written, from where the file
// was, and for nothing twice.
func TestWriterFlushesWhatWasWritten(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("before"); err != nil {
		t.Fatal(err)
	}
	w := NewWriter(file)
	next, flush := int64(len("before")), w.flush
	w.flush = func(from, bytes int64) error {
		if from != next {
			t.Errorf("it flushes from %d on, and not from %d", from, next)
		}
		next = from + bytes
		return flush(from, bytes)
	}
	for range 20 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	if next != int64(len("before"))+20<<20 {
		t.Errorf("it has flushed up to %d", next)
	}
}
