package etcdfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math/bits"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"
)

// names are the keys that a snapshot holds, as hashes of 64 bits. A snapshot has millions of keys, and a set of the
// keys themselves would take some ten times as much memory, beside the member. In 10 million keys two have the same
// hash in one of 300,000 counts, which then is less by one.
//
// A hash lies in one of many parts, which grow one by one, so that hardly anything is held twice meanwhile. The parts
// are memory of the kernel's, since the Go runtime returns late what it allocates. So they take 14 bytes a key at most,
// and 1 MiB.
type names struct {
	seed  maphash.Seed
	parts [256]part
	count int
}

// part is a table of hashes with open addressing. An empty slot is 0.
type part struct {
	slots []byte
	used  int
}

const (
	slotBytes = 8
	partBytes = 4096 // of a part that is new
)

func newNames() *names { return &names{seed: maphash.MakeSeed()} }

// free returns the memory.
func (n *names) free() (err error) {
	for i := range n.parts {
		err = errors.Join(err, n.parts[i].free())
	}
	return err
}

// add adds a name, if it is not there.
func (n *names) add(name []byte) error {
	hash, in := n.place(name)
	if (in.used+1)*8 > in.length()*7 {
		if err := in.grow(); err != nil {
			return fmt.Errorf("take memory for the count of %d keys: %w", n.count+1, err)
		}
	}
	at := in.find(hash)
	if in.slot(at) == 0 {
		in.set(at, hash)
		in.used++
		n.count++
	}
	return nil
}

// remove removes a name, if it is there.
func (n *names) remove(name []byte) {
	hash, in := n.place(name)
	if in.length() == 0 {
		return
	}
	hole := in.find(hash)
	if in.slot(hole) == 0 {
		return
	}
	in.used--
	n.count--
	// What follows without a gap moves up, unless its search begins behind the hole.
	for at := in.after(hole); in.slot(at) != 0; at = in.after(at) {
		begin := in.begin(in.slot(at))
		if hole < at && (begin <= hole || begin > at) || hole > at && begin <= hole && begin > at {
			in.set(hole, in.slot(at))
			hole = at
		}
	}
	in.set(hole, 0)
}

// place returns the hash of a name, and the part that it lies in.
func (n *names) place(name []byte) (uint64, *part) {
	hash := max(1, maphash.Bytes(n.seed, name))
	return hash, &n.parts[hash%uint64(len(n.parts))]
}

func (p *part) length() int             { return len(p.slots) / slotBytes }
func (p *part) slot(at int) uint64      { return binary.NativeEndian.Uint64(p.slots[at*slotBytes:]) }
func (p *part) set(at int, hash uint64) { binary.NativeEndian.PutUint64(p.slots[at*slotBytes:], hash) }

// after returns the slot that follows a slot.
func (p *part) after(at int) int {
	if at++; at < p.length() {
		return at
	}
	return 0
}

// begin returns the slot at which the search for a hash begins.
func (p *part) begin(hash uint64) int {
	at, _ := bits.Mul64(hash, uint64(p.length())) //nolint:gosec // not negative
	return int(at)                                //nolint:gosec // less than the length
}

// find returns the slot of a hash, or the empty one where it would be.
func (p *part) find(hash uint64) int {
	at := p.begin(hash)
	for is := p.slot(at); is != 0 && is != hash; is = p.slot(at) {
		at = p.after(at)
	}
	return at
}

// grow makes room for half as many hashes again.
func (p *part) grow() error {
	size := max(partBytes, (len(p.slots)*3/2+partBytes-1)/partBytes*partBytes)
	slots, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	grown := part{slots: slots, used: p.used}
	for at := range p.length() {
		if hash := p.slot(at); hash != 0 {
			grown.set(grown.find(hash), hash)
		}
	}
	err = p.free()
	*p = grown
	return err
}

func (p *part) free() error {
	if p.slots == nil {
		return nil
	}
	slots := p.slots
	*p = part{}
	return unix.Munmap(slots)
}

// nameIn returns the key in the value of a record of etcd's bucket of keys.
func nameIn(value []byte) (name []byte, err error) {
	for len(value) > 0 {
		number, kind, n := protowire.ConsumeTag(value)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		value = value[n:]
		if n = protowire.ConsumeFieldValue(number, kind, value); n < 0 {
			return nil, protowire.ParseError(n)
		}
		if number == 1 && kind == protowire.BytesType {
			name, _ = protowire.ConsumeBytes(value)
		}
		value = value[n:]
	}
	return name, nil
}
