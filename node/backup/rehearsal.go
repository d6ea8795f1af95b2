package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Rehearsal is what became of the last attempt to restore a backup. It is an object of its own beside the
// manifest, which is never written again: storage has no way to change a part of an object, and two hosts
// that rehearse at once leave the result of one of them, which is true.
type Rehearsal struct {
	At      time.Time     `json:"at"`
	Member  string        `json:"member"`            // on whose host
	Took    time.Duration `json:"took"`              // nanoseconds, from the first byte fetched to the last key read
	Failure string        `json:"failure,omitempty"` // empty: it restores, and is what its manifest says
}

// Proofs are the rehearsals that have proved backups, by the SHA-256 of their snapshots in the clear. One snapshot lies at
// several destinations, and is rehearsed from one of them: what was proved of it counts wherever it lies.
type Proofs map[string]*Rehearsal

// Add takes in what was proved of the backups in a catalog.
func (p Proofs) Add(c Catalog) {
	for _, e := range c.Backups {
		if e.Verified() {
			p[e.SHA256] = e.Rehearsal
		}
	}
}

// Apply gives backups that were not rehearsed where they lie the proof of their snapshot. What a rehearsal has shown of a
// backup where it lies stands: its copy there may be damaged.
func (p Proofs) Apply(backups []Entry) []Entry {
	backups = slices.Clone(backups)
	for i := range backups {
		if backups[i].Rehearsal == nil {
			backups[i].Rehearsal = p[backups[i].SHA256]
		}
	}
	return backups
}

// Record keeps what became of a rehearsal of a backup.
func Record(ctx context.Context, to Destination, m Manifest, r Rehearsal) error {
	if err := putJSON(ctx, to, m.key(rehearsalSuffix), r); err != nil {
		return fmt.Errorf("record the rehearsal of %s: %w", m, err)
	}
	return nil
}

// rehearsalOf reads what became of the rehearsal that lies at a key.
func rehearsalOf(ctx context.Context, from Source, key string) (*Rehearsal, error) {
	text, err := readAll(ctx, from, key)
	if err != nil {
		return nil, err
	}
	var r Rehearsal
	if err := json.Unmarshal(text, &r); err != nil || r.At.IsZero() {
		return nil, errors.Join(errors.New("it is no result of a rehearsal"), err)
	}
	return &r, nil
}

// maxText bounds what is read of a manifest or a rehearsal: both have a few hundred bytes.
const maxText = 1 << 20

func readAll(ctx context.Context, from Source, key string) ([]byte, error) {
	object, err := from.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(object, maxText))
	return text, errors.Join(err, object.Close())
}
