package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Store stores a snapshot as a backup: it streams clear to a destination, encrypted if there are recipients, and
// writes the manifest once everything is there. It stores nothing if clear does not match s. It reads clear once, in
// order, and not after it has returned.
func Store(ctx context.Context, to Destination, s Snapshot, clear io.Reader, recipients Recipients) (Manifest, error) {
	return store(ctx, to, s, recipients, func(m Manifest) (int64, string, error) {
		// The unencrypted content is verified before encryption, so that the object does not complete if it is wrong.
		encrypted, err := recipients.encrypt(verify(clear, "the snapshot", s.SizeBytes, s.SHA256))
		if err != nil {
			return 0, "", err
		}
		stored := sum(encrypted)
		err = to.Put(ctx, m.Key(), recipients.encryptedSize(s.SizeBytes), stored)
		return stored.read, stored.sha256(), err
	})
}

// StoreStaged makes an unencrypted backup of a snapshot that is staged in a directory, and on disk already. to is the
// same directory as a destination, which may report the progress of its calls.
func StoreStaged(ctx context.Context, to Destination, s Snapshot, staged *Draft) (Manifest, error) {
	return store(ctx, to, s, Recipients{}, func(m Manifest) (int64, string, error) {
		return s.SizeBytes, s.SHA256, staged.store(ctx, m.Key(), s.SizeBytes, s.SHA256)
	})
}

// store makes a backup of a snapshot that put stores. put returns the number of bytes stored, and their SHA-256.
func store(ctx context.Context, to Destination, s Snapshot, recipients Recipients, put func(Manifest) (int64, string, error)) (Manifest, error) {
	s.TakenAt = s.TakenAt.UTC().Truncate(time.Second)
	m := Manifest{Version: manifestVersion, Name: nameOf(s), Snapshot: s, EncryptedTo: recipients.names}
	if err := s.check(); err != nil {
		return Manifest{}, fmt.Errorf("back up a snapshot: %w", err)
	}
	if err := m.mustBeNew(ctx, to); err != nil {
		return Manifest{}, fmt.Errorf("back up %s: %w", m, err)
	}
	var err error
	m.StoredSizeBytes, m.StoredSHA256, err = put(m)
	if err == nil {
		err = m.mustBeWhole(ctx, to)
	}
	if err == nil {
		err = putJSON(ctx, to, m.key(manifestSuffix), m)
	}
	if err != nil {
		m.undo(ctx, to)
		return Manifest{}, fmt.Errorf("back up %s: %w", m, err)
	}
	return m, nil
}

// undo removes what a backup has stored that has failed, or was stopped. What cannot be removed now goes after a day.
func (m Manifest) undo(ctx context.Context, from Destination) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_ = Delete(ctx, from, m)
}

// mustBeNew refuses to overwrite a backup.
func (m Manifest) mustBeNew(ctx context.Context, to Destination) error {
	found, err := to.List(ctx, m.key(manifestSuffix))
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return errors.New("there is one of this name already")
	}
	return nil
}

// mustBeWhole checks that the destination lists all that was stored.
func (m Manifest) mustBeWhole(ctx context.Context, to Destination) error {
	found, err := to.List(ctx, m.Key())
	if err != nil {
		return err
	}
	if len(found) == 0 || found[0].Key != m.Key() || found[0].Size != m.StoredSizeBytes {
		return fmt.Errorf("%d bytes were stored, and the destination has %+v: %w", m.StoredSizeBytes, found, ErrBackupDamaged)
	}
	return nil
}

// Delete removes a backup. The manifest goes first, so that there is never one for an incomplete backup.
func Delete(ctx context.Context, from Destination, m Manifest) error {
	for _, key := range []string{m.key(manifestSuffix), m.Key(), m.key(rehearsalSuffix)} {
		if err := from.Remove(ctx, key); err != nil {
			return fmt.Errorf("remove backup %s: %w", m, err)
		}
	}
	return nil
}

// putJSON stores a value as JSON.
func putJSON(ctx context.Context, to Destination, key string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return to.Put(ctx, key, int64(len(text)), bytes.NewReader(text))
}
