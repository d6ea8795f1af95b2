package api

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestSnapshotChecksum holds that a sum is the same however what it is of arrives, and that nothing that was changed or
// cut off has one.
func TestSnapshotChecksum(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	database := make([]byte, 512*20)
	for i := range database {
		database[i] = byte(random.Uint32())
	}
	own := sha256.Sum256(database)
	whole := append(database, own[:]...)
	sum := sha256.Sum256(whole)
	for range 200 {
		s := NewChecksum()
		for rest := whole; len(rest) > 0; {
			n := 1 + random.IntN(min(len(rest), 1+random.IntN(200)))
			if wrote, err := s.Write(rest[:n]); wrote != n || err != nil {
				t.Fatal(wrote, err)
			}
			rest = rest[n:]
		}
		if got, err := s.Sum(); err != nil || got != hex.EncodeToString(sum[:]) || s.Size != int64(len(whole)) {
			t.Fatalf("the sum of %d bytes is %s, %v", s.Size, got, err)
		}
	}
	changed := []byte(string(whole))
	changed[random.IntN(len(changed))] ^= 1
	for says, content := range map[string][]byte{"its SHA-256 is": changed, "it is 10240 bytes long": database, "it is 0 bytes long": nil} {
		s := NewChecksum()
		_, _ = s.Write(content)
		if _, err := s.Sum(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}
