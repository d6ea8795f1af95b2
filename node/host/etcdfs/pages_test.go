package etcdfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"
)

// record returns a record of about this many bytes that etcd can read.
func record(bytes int) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), make([]byte, bytes))
}

// grown returns a data directory with a database of several levels, in which some records were deleted.
func grown(t *testing.T, seed uint64, options bbolt.Options) Data {
	t.Helper()
	d := empty(t)
	r := rand.New(rand.NewPCG(seed, 1))
	options.NoSync = true
	db, err := bbolt.Open(d.path(Database(d.Dir)), 0o600, &options)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 3 {
		if err := db.Update(func(tx *bbolt.Tx) error {
			for _, name := range []string{"meta", "key", "alarm", "cluster", "lease", "members"}[:1+r.IntN(6)] {
				in, err := tx.CreateBucketIfNotExists([]byte(name))
				if err != nil {
					return err
				}
				for range r.IntN(2) * r.IntN(3000) {
					key := revision(0, r.Uint64N(5000))
					if err := in.Put(key, record(r.IntN(200))); err != nil {
						return err
					}
				}
				if r.IntN(2) == 0 {
					if err := in.Put(revision(0, 0), record(r.IntN(100_000))); err != nil {
						return err
					}
				}
				for key, _ := in.Cursor().Seek(revision(0, r.Uint64N(5000))); key != nil && r.IntN(300) > 0; key, _ = in.Cursor().Seek(key) {
					if err := in.Delete(key); err != nil {
						return err
					}
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// records returns, as text, all records that read passes to look.
func records(read func(look func(bucket string, key, value []byte) error) error) (found []string, err error) {
	err = read(func(bucket string, key, value []byte) error {
		found = append(found, fmt.Sprintf("%s %x %x", bucket, key, value))
		return nil
	})
	return found, err
}

// TestPagesAreReadAsBboltReadsThem compares the reader of pages with bbolt, on databases of many shapes.
func TestPagesAreReadAsBboltReadsThem(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		d := grown(t, seed, bbolt.Options{PageSize: []int{0, 1024, 16384}[seed%3], NoFreelistSync: seed%2 == 0})
		path := d.path(Database(d.Dir))
		if _, err := statusOf(path, nil); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.View(func(tx *bbolt.Tx) error {
			want, err := records(func(look func(string, []byte, []byte) error) error {
				return tx.ForEach(func(name []byte, in *bbolt.Bucket) error {
					return in.ForEach(func(key, value []byte) error { return look(string(name), key, value) })
				})
			})
			if err != nil {
				return err
			}
			got, err := records(func(look func(string, []byte, []byte) error) error { return d.ReadAll(t.Context(), &Position{}, look) })
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("seed %d: %d records were read, and there are %d: %v", seed, len(got), len(want), err)
			}
			return viewDatabase(path, func(p *pages) error {
				for _, name := range []string{"alarm", "key", "meta", "none"} {
					in := tx.Bucket([]byte(name))
					has, err := p.bucket(name)
					if err != nil || (has == nil) != (in == nil) {
						return fmt.Errorf("bucket %s is there: %t, %w", name, has != nil, err)
					}
					if in == nil {
						continue
					}
					wants, _ := in.Cursor().Last()
					if last, err := has.last(); err != nil || !bytes.Equal(last, wants) {
						return fmt.Errorf("the last key of %s is %x, and not %x: %w", name, last, wants, err)
					}
					for i := range uint64(20) {
						key := revision(0, i*257)
						if value, _, err := has.find(key); err != nil || !bytes.Equal(value, in.Get(key)) {
							return fmt.Errorf("%x of %s is %x: %w", key, name, value, err)
						}
						var from []byte
						if err := (&pages{text: p.text, size: p.size, count: p.count}).from(*has).each(key, func(key, _ []byte, _ bool) error {
							from = key
							return errEnough
						}); err != nil {
							return err
						}
						if wants, _ := in.Cursor().Seek(key); !bytes.Equal(from, wants) {
							return fmt.Errorf("from %x of %s on comes %x, and not %x", key, name, from, wants)
						}
					}
				}
				return nil
			})
		}); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// from returns the same tree for the reading p.
func (p *pages) from(t tree) tree { return tree{p, t.root, t.inline} }

// looks are all readings of databases of unknown content. Each of them has to end, and not by ending the process.
func looks(t *testing.T, d Data) (damage error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	damage = d.ReadAll(ctx, &Position{}, checkRecord)
	_ = d.ReadAll(ctx, &Position{[]byte("key"), []byte("\x00\x00")}, checkRecord)
	_, _ = d.Revisions()
	_, _ = d.ConsistentIndex()
	_, _ = d.Members()
	read, err := statusOf(d.path(Database(d.Dir)), nil)
	if err == nil {
		mustBeAsEtcdutlSays(t, d.path(Database(d.Dir)), read)
	}
	if ctx.Err() != nil {
		t.Error("a look has no end")
	}
	return damage
}

// rewritten changes the pages of a database.
func rewritten(t *testing.T, d Data, change func(p *pages)) {
	t.Helper()
	path := d.path(Database(d.Dir))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pagesOf(text)
	if err != nil {
		t.Fatal(err)
	}
	change(p)
	if err := os.WriteFile(path, p.text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// branches returns the branch pages of a bucket, its root first.
func (p *pages) branches(bucket string) (all []uint64) {
	in, err := p.bucket(bucket)
	if err != nil {
		panic(err)
	}
	for next := []uint64{in.root}; len(next) > 0; next = next[1:] {
		at, err := p.page(next[0])
		if err != nil {
			panic(err)
		}
		if at.leaf {
			continue
		}
		all = append(all, next[0])
		for i := range at.elements {
			next = append(next, at.child(i))
		}
	}
	return all
}

// lead has an element of a branch lead to another page.
func (p *pages) lead(id uint64, element int, to uint64) {
	//nolint:gosec // not negative
	binary.NativeEndian.PutUint64(p.text[id*p.size+pageHead+uint64(element)*pageElement+8:], to)
}

// chain makes a tree of buckets of this many pages, each of which leads to the next.
func chain(t *testing.T, depth int) Data {
	t.Helper()
	const size = 1024
	d := empty(t)
	text := make([]byte, (2+depth)*size)
	for id := range 2 + depth {
		page := text[id*size:]
		binary.NativeEndian.PutUint64(page, uint64(id)) //nolint:gosec // not negative
		if id >= 2 {
			binary.NativeEndian.PutUint16(page[8:], kindBranch)
			binary.NativeEndian.PutUint16(page[10:], 1)
			binary.NativeEndian.PutUint32(page[pageHead:], pageElement)
			binary.NativeEndian.PutUint64(page[pageHead+8:], uint64(id+1)) //nolint:gosec // likewise
			continue
		}
		binary.NativeEndian.PutUint16(page[8:], 0x04)
		of := page[pageHead:]
		for at, number := range map[int]uint32{0: metaMagic, 4: metaVersion, 8: size} {
			binary.NativeEndian.PutUint32(of[at:], number)
		}
		//nolint:gosec // not negative
		for at, number := range map[int]uint64{16: 2, 32: noFreelist, 40: uint64(2 + depth), 48: uint64(id)} {
			binary.NativeEndian.PutUint64(of[at:], number)
		}
		sum := fnv.New64a()
		_, _ = sum.Write(of[:metaBytes-8])
		binary.NativeEndian.PutUint64(of[metaBytes-8:], sum.Sum64())
	}
	if err := os.WriteFile(d.path(Database(d.Dir)), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestPagesThatAreNoTreeAreDamage has pages lead to one another in ways from which bbolt does not return.
func TestPagesThatAreNoTreeAreDamage(t *testing.T) {
	t.Parallel()
	of := func(change func(p *pages, branches []uint64)) func(*testing.T) Data {
		return func(t *testing.T) Data {
			t.Helper()
			d := empty(t)
			writeMany(t, d)
			rewritten(t, d, func(p *pages) { change(p, p.branches("key")) })
			return d
		}
	}
	for name, make := range map[string]func(*testing.T) Data{
		"a page that leads to itself":      of(func(p *pages, b []uint64) { p.lead(b[len(b)-1], 0, b[len(b)-1]) }),
		"one that leads back to the top":   of(func(p *pages, b []uint64) { p.lead(b[len(b)-1], 3, b[0]) }),
		"its last element too":             of(func(p *pages, b []uint64) { p.lead(b[0], p.elementsOf(b[0])-1, b[0]) }),
		"two that lead to one":             of(func(p *pages, b []uint64) { p.lead(b[1], 0, p.childOf(b[1], 1)) }),
		"one that leads to another bucket": of(func(p *pages, b []uint64) { p.lead(b[1], 1, p.root) }),
		"one that leads behind the end":    of(func(p *pages, b []uint64) { p.lead(b[1], 1, p.count) }),
		"a way down without end":           func(t *testing.T) Data { t.Helper(); return chain(t, 5000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := make(t)
			if err := looks(t, d); !errors.As(err, new(Damaged)) {
				t.Errorf("it says %v", err)
			}
			if _, err := statusOf(d.path(Database(d.Dir)), nil); err == nil {
				t.Error("etcd's own code would be given it")
			}
		})
	}
}

func (p *pages) elementsOf(id uint64) int {
	at, _ := p.page(id)
	return at.elements
}

func (p *pages) childOf(id uint64, i int) uint64 {
	at, _ := p.page(id)
	return at.child(i)
}

// writeMany writes so many records that their bucket has branches below branches.
func writeMany(t *testing.T, d Data) {
	t.Helper()
	db, err := bbolt.Open(d.path(Database(d.Dir)), 0o600, &bbolt.Options{NoSync: true, PageSize: 1024})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"key", "lease", "members", "meta"} {
			in, err := tx.CreateBucketIfNotExists([]byte(name))
			for i := uint64(0); i < 4000 && err == nil; i++ {
				err = in.Put(revision(0, i), record(40))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestNoContentOfADatabaseEndsTheProcess reads databases with random changes, most of them at the places that have the
// greatest effect.
func TestNoContentOfADatabaseEndsTheProcess(t *testing.T) {
	t.Parallel()
	whole := empty(t)
	writeMany(t, whole)
	if err := looks(t, whole); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(whole.path(Database(whole.Dir)))
	if err != nil {
		t.Fatal(err)
	}
	d := empty(t)
	path := d.path(Database(d.Dir))
	r := rand.New(rand.NewPCG(3, 5))
	found := 0
	for range 150 {
		spoilt := bytes.Clone(text)
		for range 1 + r.IntN(3) {
			page := r.IntN(len(spoilt)/1024-2) + 2
			at := page*1024 + []int{8, 10, 12, pageHead, pageHead + 4, pageHead + 8, pageHead + 12, r.IntN(1000)}[r.IntN(8)]
			//nolint:gosec // small
			binary.NativeEndian.PutUint32(spoilt[at:], []uint32{0, 1, 2, uint32(page), r.Uint32(), 1 << 31, r.Uint32N(2000)}[r.IntN(7)])
		}
		if r.IntN(20) == 0 {
			spoilt = spoilt[:r.IntN(len(spoilt))]
		}
		if err := os.WriteFile(path, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		if looks(t, d) != nil {
			found++
		}
	}
	if found < 30 {
		t.Errorf("damage was found %d times", found)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := looks(t, d); !errors.As(err, new(Damaged)) {
		t.Errorf("of nothing it says %v", err)
	}
}
