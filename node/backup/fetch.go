package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Fetch brings a backup back in the clear, and verifies what lies at its source and what comes of it. What
// was written before an error is worth nothing: write to a name that is given up then.
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

// fetch writes what is stored in the clear.
func fetch(ctx context.Context, m Manifest, stored *verified, identities Identities, to io.Writer) error {
	clear := io.Reader(stored)
	if m.Encrypted() {
		var err error
		if clear, err = identities.Decrypt(stored); err != nil {
			return orDamaged(err, stored)
		}
	}
	written := &keeper{to: to}
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

// orDamaged is why something does not decrypt: where what is stored is damaged or cannot be read, that is
// why, whatever the decryption thinks of it. A flipped bit in the header looks like a wrong identity.
func orDamaged(err error, stored *verified) error {
	if cause := stored.drain(); cause != nil {
		return cause
	}
	return err
}

// keeper keeps the error of a writer apart from that of the reader.
type keeper struct {
	to  io.Writer
	err error
}

func (k *keeper) Write(p []byte) (int, error) {
	n, err := k.to.Write(p)
	k.err = err
	return n, err
}
