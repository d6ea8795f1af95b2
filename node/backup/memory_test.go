package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"runtime"
	"testing"
)

// pattern reads as a long text, and takes no memory.
type pattern struct{ left int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.left))
	for i := range b[:n] {
		b[i] = byte((p.left - int64(i)) >> 10)
	}
	p.left -= int64(n)
	return n, nil
}

// TestMemoryIsBounded stores and fetches a text that is much larger than the memory that this may take.
func TestMemoryIsBounded(t *testing.T) {
	const bound = 64 << 20
	size := int64(8 * bound)
	if testing.Short() {
		size = 2 * bound
	}
	_, inBucket := startS3(t)
	secret, public := identity(t)
	for _, to := range []Destination{inBucket, directory(t)} {
		sum := sha256.New()
		if _, err := io.Copy(sum, &pattern{size}); err != nil {
			t.Fatal(err)
		}
		s := snapshotOf([]byte("x"), 1)
		s.SizeBytes, s.SHA256 = size, hex.EncodeToString(sum.Sum(nil))
		peak := &peaks{from: &pattern{size}}
		m, err := Store(t.Context(), to, s, peak, recipients(t, public))
		if err != nil {
			t.Fatal(err)
		}
		if err := Fetch(t.Context(), to, m, secret, peak); err != nil {
			t.Fatal(err)
		}
		if peak.highest > bound {
			t.Errorf("%s: %d MiB of memory are in use at a time", to, peak.highest>>20)
		}
		if err := Delete(t.Context(), to, m); err != nil {
			t.Fatal(err)
		}
	}
}

// peaks measures the heap while a text passes through it.
type peaks struct {
	from    io.Reader
	calls   int
	highest uint64
}

func (p *peaks) Read(b []byte) (int, error)  { p.look(); return p.from.Read(b) }
func (p *peaks) Write(b []byte) (int, error) { p.look(); return len(b), nil }

func (p *peaks) look() {
	if p.calls++; p.calls%512 != 0 { // a measurement stops the world
		return
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	p.highest = max(p.highest, stats.HeapInuse)
}
