package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Fetch writes a backup decrypted to to, and verifies both what is stored and what it decrypts to. After an error the
// written content is of no use: write to a temporary name.
func Fetch(ctx context.Context, from Source, m Manifest, identities Identities, to io.Writer) error {
	if err := identities.mayOpen(m); err != nil {
		return err
	}
	object, err := from.Open(ctx, m.Key())
	if err != nil {
		return fmt.Errorf("fetch %s: %w", m, err)
	}
	stored := verify(object, "the stored backup", m.StoredSizeBytes, m.StoredSHA256)
	if err := errors.Join(fetch(ctx, m, stored, identities, to), object.Close()); err != nil {
		return fmt.Errorf("fetch %s: %w", m, err)
	}
	return nil
}

// fetch writes the decrypted content of what is stored.
func fetch(ctx context.Context, m Manifest, stored *verifiedReader, identities Identities, to io.Writer) error {
	clear := io.Reader(stored)
	if m.Encrypted() {
		var err error
		if clear, err = identities.Decrypt(stored); err != nil {
			return orDamaged(err, stored)
		}
	}
	written := &errorWriter{to: to}
	_, err := io.Copy(written, withContext(ctx, verify(clear, "the snapshot in it", m.SizeBytes, m.SHA256)))
	switch {
	case written.err != nil:
		return fmt.Errorf("write it: %w", written.err)
	case err != nil && ctx.Err() == nil:
		return orDamaged(err, stored)
	case err != nil:
		return err
	}
	return stored.drain()
}

// orDamaged returns why something does not decrypt. If what is stored is damaged or unreadable, that is the cause,
// whatever decryption reports: a flipped bit in the header looks like a wrong identity.
func orDamaged(err error, stored *verifiedReader) error {
	if cause := stored.drain(); cause != nil {
		return cause
	}
	return err
}

// errorWriter keeps a writer's error apart from the reader's.
type errorWriter struct {
	to  io.Writer
	err error
}

func (k *errorWriter) Write(p []byte) (int, error) {
	n, err := k.to.Write(p)
	k.err = err
	return n, err
}
