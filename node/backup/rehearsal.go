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

// Rehearsal is the result of the last attempt to restore a backup. It is a separate object beside the manifest, which
// is never written again: objects cannot be changed in part, and if two hosts rehearse at once, the result of one
// remains, which is true.
type Rehearsal struct {
	At      time.Time     `json:"at"`
	Member  string        `json:"member"`            // the member on whose host it ran
	Took    time.Duration `json:"took"`              // nanoseconds, from the first byte fetched to the last key read
	Failure string        `json:"failure,omitempty"` // empty: it restores, and matches its manifest
}

// Proofs are successful rehearsals by the SHA-256 of the unencrypted snapshot. A snapshot that lies at several
// destinations is rehearsed from one of them, and the proof counts for all.
type Proofs map[string]*Rehearsal

// Add adds the proofs of the backups in a catalog.
func (p Proofs) Add(c Catalog) {
	for _, e := range c.Backups {
		if e.Verified() {
			p[e.SHA256] = e.Rehearsal
		}
	}
}

// Apply adds proofs to backups that were not rehearsed where they lie. A rehearsal at the backup's own destination
// takes precedence: that copy may be damaged.
func (p Proofs) Apply(backups []Entry) []Entry {
	backups = slices.Clone(backups)
	for i := range backups {
		if backups[i].Rehearsal == nil {
			backups[i].Rehearsal = p[backups[i].SHA256]
		}
	}
	return backups
}

// Record stores the result of a rehearsal.
func Record(ctx context.Context, to Destination, m Manifest, r Rehearsal) error {
	if err := putJSON(ctx, to, m.key(rehearsalSuffix), r); err != nil {
		return fmt.Errorf("record the rehearsal of %s: %w", m, err)
	}
	return nil
}

// rehearsalOf reads the result of a rehearsal at a key.
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

// maxText bounds the size of a manifest or a rehearsal that is read: both have a few hundred bytes.
const maxText = 1 << 20

func readAll(ctx context.Context, from Source, key string) ([]byte, error) {
	object, err := from.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(object, maxText))
	return text, errors.Join(err, object.Close())
}
