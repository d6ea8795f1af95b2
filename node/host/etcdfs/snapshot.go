package etcdfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// VerifySnapshot verifies a snapshot at a path of this process. Errors call the snapshot by name.
func VerifySnapshot(name, path string) (api.Snapshot, error) {
	file, err := inside.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return api.Snapshot{}, fmt.Errorf("verify snapshot %s: %w", name, err)
	}
	defer file.Close()
	s := api.NewChecksum()
	if _, err := io.Copy(s, file); err != nil {
		return api.Snapshot{}, fmt.Errorf("verify snapshot %s: %w", name, err)
	}
	return Verify(name, inside.PathOf(file), s, nil)
}

// Verify verifies a snapshot at a path of this process, whose checksum was taken while the snapshot was written there.
// It compares the sum at the end of the file, which etcd's own status ignores, and reads key by key. mayHold is asked
// again and again while the keys are counted, and ends the verification with its error; nil: any number is right.
func Verify(name, path string, s *api.Checksum, mayHold func(keys int) error) (api.Snapshot, error) {
	whole, err := s.Sum()
	if err != nil {
		return api.Snapshot{}, fmt.Errorf("verify snapshot %s: %w", name, err)
	}
	read, err := statusOf(path, mayHold)
	if err != nil {
		return api.Snapshot{}, fmt.Errorf("verify snapshot %s: read its keys: %w", name, err)
	}
	return api.Snapshot{SHA256: whole, SizeBytes: s.Size, Revision: read.revision, Keys: read.keys, Version: read.version}, nil
}

// status is what a snapshot holds.
type status struct {
	revision int64  // of its newest record; 0: there is none
	keys     int    // that clients can see
	version  string // of the oldest etcd that starts from it
}

// statusOf reads all pages and records of a snapshot at a path of this process. What it accepts, etcdutl's Status
// accepts, and answers alike. That one walks the pages three times more, and holds all keys.
func statusOf(path string, mayHold func(keys int) error) (read status, err error) {
	file, err := os.Open(path)
	if err != nil {
		return read, err
	}
	release, err := Prefault(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return read, err
	}
	defer func() { err = errors.Join(err, release()) }()
	err = viewDatabase(path, func(p *pages) (err error) {
		p.strict = true
		counted := counting{names: newNames(), mayHold: mayHold, next: firstAsked}
		defer func() { err = errors.Join(err, counted.free()) }()
		if err := p.eachRecord(Position{}, counted.look); err != nil {
			return err
		}
		if err := p.mustBeAll(); err != nil {
			return err
		}
		read.revision, read.keys = counted.revision, counted.count
		read.version, err = neededVersion(p)
		return err
	})
	return read, err
}

// counting counts the keys of a snapshot whose records it is shown.
type counting struct {
	*names
	revision int64
	mayHold  func(keys int) error
	next     int // so many keys it asks about next
}

// firstAsked is how many keys any host can hold.
const firstAsked = 1 << 16

func (c *counting) look(bucket string, key, value []byte) error {
	if err := checkRecord(bucket, key, value); err != nil || bucket != "key" {
		return err
	}
	main, deletes, err := parseRevision(key)
	if err != nil {
		return err
	}
	c.revision = main
	if len(value) == 0 {
		return nil // a restore has raised the revisions by it: no client can see it
	}
	name, err := nameIn(value)
	if err != nil {
		return err
	}
	if deletes {
		c.remove(name)
		return nil
	}
	if err := c.add(name); err != nil || c.mayHold == nil || c.count < c.next {
		return err
	}
	c.next += c.next / 8
	return c.mayHold(c.count)
}

// parseRevision reads the key of a record: its revision, and whether that deleted a key.
func parseRevision(key []byte) (main int64, deletes bool, err error) {
	const length = 17 // both numbers of a revision, and what is between them
	if len(key) != length && len(key) != length+1 || key[8] != '_' || key[0] > math.MaxInt8 || key[9] > math.MaxInt8 {
		return 0, false, Damaged(fmt.Sprintf("it has a record %x, which is no revision", key))
	}
	main = int64(binary.BigEndian.Uint64(key)) //nolint:gosec // its first byte says that it is not negative
	return main, len(key) > length && key[length] == 't', nil
}

var storageVersion = regexp.MustCompile(`^\d+\.\d+\.\d+$`)

// neededVersion returns the version of the oldest etcd that starts from a snapshot: the newer of the snapshot's storage
// version and the version that its cluster had agreed on. etcd writes the storage version some time after the other,
// and before 3.6 not at all.
func neededVersion(p *pages) (string, error) {
	if meta, err := p.bucket("meta"); err != nil || meta == nil {
		return "", errors.Join(err, malformed("it has no bucket meta, as each etcd makes one"))
	}
	stored, err := p.valueOf("meta", "storageVersion")
	if err != nil {
		return "", err
	}
	agreed, err := agreedVersion(p)
	if err != nil {
		return "", err
	}
	storage := ""
	if storageVersion.Match(stored) {
		storage = string(stored)
	}
	// An invalid storage version counts as the oldest.
	if api.IsVersion(agreed) && (!api.IsVersion(storage) || api.CompareVersions(api.Minor(agreed), api.Minor(storage)) > 0) {
		return agreed, nil
	}
	return storage, nil
}
