package etcdfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"sort"
)

// This file reads a member's database by its format on the disk. bbolt trusts the pages to be a tree: if a page leads
// back to itself, bbolt calls itself or grows its stack of pages without end, which ends the process and cannot be
// recovered from. The reader here comes to each page once at most, and no deeper than a tree can be.

const (
	pageHead     = 16 // bytes at the head of a page: id, kind, number of elements, number of overflow pages
	pageElement  = 16 // bytes of an element's header
	bucketHead   = 16 // bytes at the head of a bucket's value: id of its root page, sequence; an inline page follows
	metaBytes    = 64
	metaMagic    = 0xED0CDAED
	metaVersion  = 2
	kindBranch   = 0x01
	kindLeaf     = 0x02
	kindFreelist = 0x10
	isBucket     = 0x01 // flag of an element
	noFreelist   = math.MaxUint64
	smallestPage = 512
	largestPage  = 1 << 24
	// deepest bounds the depth of a tree: a branch has two children at least.
	deepest = 64
)

// malformed is an error that says what is wrong with the pages of a database.
type malformed string

func (m malformed) Error() string { return string(m) }

// pages are the pages of a database's file, whatever its content.
type pages struct {
	text     []byte // all of the file
	size     uint64 // bytes of a page
	count    uint64 // pages that the database has
	root     uint64 // page of the tree of buckets
	freelist uint64 // page of the list of free pages, or noFreelist
	seen     []bool // the pages that were read; nil: none yet
	strict   bool   // whether each key has to be where the branches lead to it
}

// meta is what a meta page says of the database. The first two pages are meta pages.
type meta struct{ size, root, freelist, count, transaction uint64 }

// metaAt reads a meta page.
func metaAt(text []byte, at uint64) (meta, error) {
	if uint64(len(text)) < at+pageHead+metaBytes {
		return meta{}, malformed("it is too short")
	}
	text = text[at+pageHead:][:metaBytes]
	number := func(at int) uint64 { return binary.NativeEndian.Uint64(text[at:]) }
	short := func(at int) uint32 { return binary.NativeEndian.Uint32(text[at:]) }
	sum := fnv.New64a()
	_, _ = sum.Write(text[:metaBytes-8])
	switch {
	case short(0) != metaMagic:
		return meta{}, malformed("it is no database")
	case short(4) != metaVersion:
		return meta{}, malformed(fmt.Sprintf("it is of format %d, and not %d", short(4), metaVersion))
	case number(metaBytes-8) != sum.Sum64():
		return meta{}, malformed("the checksum of its first pages is wrong")
	}
	found := meta{uint64(short(8)), number(16), number(32), number(40), number(48)}
	if found.size < smallestPage || found.size > largestPage {
		return meta{}, malformed(fmt.Sprintf("its pages have %d bytes each", found.size))
	}
	return found, nil
}

// pagesOf returns the pages of a file by the newer one of its meta pages that can be read.
func pagesOf(text []byte) (*pages, error) {
	newest, err := metaAt(text, 0)
	second := newest.size
	for size := uint64(1024); err != nil && second == 0 && size <= largestPage; size *= 2 {
		if other, failed := metaAt(text, size); failed == nil && other.size == size {
			second = size
		}
	}
	if other, failed := metaAt(text, second); second > 0 && failed == nil && (err != nil || other.transaction > newest.transaction) {
		newest, err = other, nil
	}
	if err != nil {
		return nil, err
	}
	if newest.count > uint64(len(text))/newest.size {
		return nil, malformed(fmt.Sprintf("it has %d bytes, and was %d pages of %d bytes long", len(text), newest.count, newest.size))
	}
	return &pages{text: text, size: newest.size, count: newest.count, root: newest.root, freelist: newest.freelist}, nil
}

// page is a page of a tree.
type page struct {
	leaf     bool
	elements int
	text     []byte // of the page and its overflow pages
	spans    uint64 // how many pages these are
}

// whole returns the text of a page and its overflow pages, and how many these are.
func (p *pages) whole(id uint64) ([]byte, uint64, error) {
	if id < 2 || id >= p.count {
		return nil, 0, malformed(fmt.Sprintf("a page leads to page %d, of %d", id, p.count))
	}
	text := p.text[id*p.size:]
	if is := binary.NativeEndian.Uint64(text); is != id {
		return nil, 0, malformed(fmt.Sprintf("page %d calls itself %d", id, is))
	}
	spans := 1 + uint64(binary.NativeEndian.Uint32(text[12:]))
	if spans > p.count-id {
		return nil, 0, malformed(fmt.Sprintf("page %d goes on over %d pages, of %d", id, spans, p.count))
	}
	return text[:spans*p.size], spans, nil
}

// page reads a page of a tree.
func (p *pages) page(id uint64) (page, error) {
	text, spans, err := p.whole(id)
	if err != nil {
		return page{}, err
	}
	return pageOf(text, spans, fmt.Sprintf("page %d", id))
}

// below reads a page that a branch leads to. Such a page is never empty: only the root of an empty tree is.
func (p *pages) below(id uint64) (page, error) {
	found, err := p.page(id)
	if err == nil && found.elements == 0 {
		err = malformed(fmt.Sprintf("page %d is empty", id))
	}
	return found, err
}

// pageOf reads a page of a tree. Errors call the page by name.
func pageOf(text []byte, spans uint64, name string) (page, error) {
	if len(text) < pageHead {
		return page{}, malformed(name + " is too short")
	}
	kind := binary.NativeEndian.Uint16(text[8:])
	found := page{leaf: kind == kindLeaf, elements: int(binary.NativeEndian.Uint16(text[10:])), text: text, spans: spans}
	if kind != kindLeaf && (kind != kindBranch || found.elements == 0) {
		return page{}, malformed(fmt.Sprintf("%s is no page of a tree: it is of kind %#x, with %d elements", name, kind, found.elements))
	}
	if pageHead+found.elements*pageElement > len(text) {
		return page{}, malformed(fmt.Sprintf("%s has no room for its %d elements", name, found.elements))
	}
	return found, nil
}

// part returns length bytes that begin from bytes behind the header of an element.
func (g page) part(i int, from, length uint64) ([]byte, error) {
	text := g.text[pageHead+i*pageElement:]
	if from > uint64(len(text)) || length > uint64(len(text))-from {
		return nil, malformed(fmt.Sprintf("element %d of a page has %d bytes at %d, and the page %d", i, length, from, len(text)))
	}
	return text[from : from+length : from+length], nil
}

// key returns the key of an element.
func (g page) key(i int) ([]byte, error) {
	element := g.text[pageHead+i*pageElement:]
	if g.leaf {
		element = element[4:] // its flags
	}
	return g.part(i, uint64(binary.NativeEndian.Uint32(element)), uint64(binary.NativeEndian.Uint32(element[4:])))
}

// child returns the page that an element of a branch leads to.
func (g page) child(i int) uint64 {
	return binary.NativeEndian.Uint64(g.text[pageHead+i*pageElement+8:])
}

// value returns the value of an element of a leaf, and whether that is a bucket.
func (g page) value(i int) (value []byte, bucket bool, err error) {
	element := g.text[pageHead+i*pageElement:]
	at, key, length := binary.NativeEndian.Uint32(element[4:]), binary.NativeEndian.Uint32(element[8:]), binary.NativeEndian.Uint32(element[12:])
	value, err = g.part(i, uint64(at)+uint64(key), uint64(length))
	return value, binary.NativeEndian.Uint32(element)&isBucket != 0, err
}

// first returns the element at which a reading from a key on begins: in a branch the element that leads to the key, in
// a leaf the first element that is not before the key.
func (g page) first(from []byte) (int, error) {
	var failed error
	after := func(order int) int {
		return sort.Search(g.elements, func(i int) bool {
			key, err := g.key(i)
			failed = errors.Join(failed, err)
			return err != nil || bytes.Compare(key, from) >= order
		})
	}
	if g.leaf {
		return after(0), failed
	}
	return max(0, after(1)-1), failed
}

// tree is a bucket, or the tree of all buckets.
type tree struct {
	of     *pages
	root   uint64
	inline []byte // the only page of an inline bucket; nil: the tree has pages of its own
}

// buckets returns the tree of all buckets.
func (p *pages) buckets() tree { return tree{of: p, root: p.root} }

// bucketOf returns the bucket in a value.
func (p *pages) bucketOf(value []byte) (tree, error) {
	if len(value) < bucketHead {
		return tree{}, malformed(fmt.Sprintf("a bucket has %d bytes", len(value)))
	}
	t := tree{of: p, root: binary.NativeEndian.Uint64(value)}
	if t.root == 0 {
		t.inline = value[bucketHead:]
	}
	return t, nil
}

// bucket returns the bucket with a name, or nil if there is none.
func (p *pages) bucket(name string) (*tree, error) {
	value, bucket, err := p.buckets().find([]byte(name))
	if err != nil || value == nil {
		return nil, err
	}
	if !bucket {
		return nil, malformed("it holds what is in no bucket")
	}
	found, err := p.bucketOf(value)
	return &found, err
}

func (t tree) top() (page, error) {
	if t.inline != nil {
		return pageOf(t.inline, 0, "the page in a bucket")
	}
	return t.of.page(t.root)
}

// leaf goes down to a leaf, by the element that choose returns for each page. It returns the leaf and the element in
// it.
func (t tree) leaf(choose func(page) (int, error)) (page, int, error) {
	at, err := t.top()
	for depth := 1; err == nil; depth++ {
		i, err := choose(at)
		if err != nil || at.leaf {
			return at, i, err
		}
		if depth >= deepest {
			return page{}, 0, malformed("its pages lead to one another without end")
		}
		if at, err = t.of.below(at.child(i)); err != nil {
			return page{}, 0, err
		}
	}
	return page{}, 0, err
}

// find returns the value of a key, and whether it is a bucket, or nil if the key is not there.
func (t tree) find(key []byte) (value []byte, bucket bool, err error) {
	at, i, err := t.leaf(func(g page) (int, error) { return g.first(key) })
	if err != nil || i >= at.elements {
		return nil, false, err
	}
	is, err := at.key(i)
	if err != nil || !bytes.Equal(is, key) {
		return nil, false, err
	}
	return at.value(i)
}

// last returns the last key, or nil if there is none.
func (t tree) last() ([]byte, error) {
	at, i, err := t.leaf(func(g page) (int, error) { return g.elements - 1, nil })
	if err != nil || i < 0 {
		return nil, err
	}
	return at.key(i)
}

// span are the keys to which an element of a branch leads.
type span struct{ from, end []byte } // nil: from the first, to the last

func (s span) has(key []byte) bool {
	return bytes.Compare(s.from, key) <= 0 && (s.end == nil || bytes.Compare(key, s.end) < 0)
}

// each calls do for each element in order, from a key on. If do returns errEnough, each ends without an error.
func (t tree) each(from []byte, do func(key, value []byte, bucket bool) error) error {
	type level struct {
		page
		next int
		keys span
	}
	var way []level
	seeks := len(from) > 0
	enter := func(g page, keys span) (err error) {
		if len(way) == deepest {
			return malformed("its pages lead to one another without end")
		}
		entered := level{page: g, keys: keys}
		if seeks {
			entered.next, err = g.first(from)
			seeks = !g.leaf
		}
		way = append(way, entered)
		return err
	}
	top, err := t.top()
	if err == nil && t.inline == nil {
		err = t.of.see(t.root, top.spans)
	}
	if err == nil {
		err = enter(top, span{})
	}
	if err != nil {
		return err
	}
	var before []byte
	for len(way) > 0 {
		at := &way[len(way)-1]
		i := at.next
		if at.next++; i >= at.elements {
			way = way[:len(way)-1]
			continue
		}
		// The keys of branches are checked too, since searches go by them.
		key, err := at.key(i)
		if err == nil && t.of.strict && !at.keys.has(key) {
			err = malformed(fmt.Sprintf("key %x is not where the pages lead to it", key))
		}
		if err != nil {
			return err
		}
		if !at.leaf {
			keys := span{key, at.keys.end}
			if at.next < at.elements {
				if keys.end, err = at.key(at.next); err != nil {
					return err
				}
			}
			id := at.child(i)
			below, err := t.of.below(id)
			if err = errors.Join(err, t.of.see(id, below.spans)); err != nil {
				return err
			}
			if err := enter(below, keys); err != nil {
				return err
			}
			continue
		}
		if before != nil && bytes.Compare(before, key) >= 0 {
			return malformed(fmt.Sprintf("key %x comes behind key %x", key, before))
		}
		before = key
		value, bucket, err := at.value(i)
		if err == nil {
			err = do(key, value, bucket)
		}
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// see notes that a page was read. It returns an error if the page was read before: two pages lead to it.
func (p *pages) see(id, spans uint64) error {
	if p.seen == nil {
		p.seen = make([]bool, p.count)
	}
	for at := id; at < id+spans; at++ {
		if p.seen[at] {
			return malformed(fmt.Sprintf("two pages lead to page %d", at))
		}
		p.seen[at] = true
	}
	return nil
}

// eachRecord calls do for each record of each bucket, from a position on. In etcd's databases no bucket holds another.
func (p *pages) eachRecord(from Position, do func(bucket string, key, value []byte) error) error {
	return p.buckets().each(from.Bucket, func(name, value []byte, bucket bool) error {
		if !bucket {
			return malformed("it holds what is in no bucket")
		}
		records, err := p.bucketOf(value)
		if err != nil {
			return err
		}
		var after []byte
		if bytes.Equal(name, from.Bucket) {
			after = from.Key
		}
		of := string(name)
		return records.each(after, func(key, value []byte, bucket bool) error {
			if bucket {
				return malformed(fmt.Sprintf("bucket %q holds another", name))
			}
			return do(of, key, value)
		})
	})
}

// mustBeAll returns an error if the list of free pages lists a page that is in use, or lacks one that is not. All
// records must have been read before.
func (p *pages) mustBeAll() error {
	if p.freelist == noFreelist {
		return nil // bbolt finds the free pages by the pages in use
	}
	text, spans, err := p.whole(p.freelist)
	if err == nil {
		err = p.see(p.freelist, spans)
	}
	if err != nil {
		return err
	}
	listed, at := uint64(binary.NativeEndian.Uint16(text[10:])), uint64(pageHead)
	if listed == math.MaxUint16 {
		listed, at = binary.NativeEndian.Uint64(text[at:]), at+8
	}
	if kind := binary.NativeEndian.Uint16(text[8:]); kind != kindFreelist || listed > (uint64(len(text))-at)/8 {
		return malformed(fmt.Sprintf("its list of free pages is none: it is of kind %#x, and lists %d", kind, listed))
	}
	for ; listed > 0; listed, at = listed-1, at+8 {
		id := binary.NativeEndian.Uint64(text[at:])
		if id < 2 || id >= p.count {
			return malformed(fmt.Sprintf("its list of free pages has page %d, of %d", id, p.count))
		}
		if err := p.see(id, 1); err != nil {
			return err
		}
	}
	if lost := slices.Index(p.seen[2:], false); lost >= 0 {
		return malformed(fmt.Sprintf("page %d is neither free nor in use", lost+2))
	}
	return nil
}
