// Package etcdfs reads what etcd has written: a member's log and its database, whether the member runs or not, what is
// wrong with them, and snapshots.
package etcdfs

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/inside"
)

// Data is a member's data directory.
type Data struct {
	Root string // in front of every path; "/" but in tests
	Dir  string // on the host
}

// path is where a path of the host lies for this process.
func (d Data) path(p string) string { return filepath.Join(d.Root, p) }

// A member's log is read here by its format on the disk, which all versions of etcd share, and not by etcd's
// own package: that reads all of it into memory, from its first file on, and has other types in each version.

// Kinds of a log's records.
const (
	recordMetadata int64 = 1
	recordEntry    int64 = 2
	recordCRC      int64 = 4
	recordSnapshot int64 = 5
)

// errEnough ends the reading of a log before its end.
var errEnough = errors.New("enough was read")

// castagnoli is what the log's checksums are made by.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// LogDir is where a member's log lies.
func LogDir(dir string) string { return filepath.Join(dir, "member", "wal") }

// LogFiles are the files of a member's log, in their order; none where there is no log.
func (d Data) LogFiles() []string {
	entries, _ := inside.ReadDir(d.path(LogDir(d.Dir)))
	var files []string
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".wal") {
			files = append(files, filepath.Join(LogDir(d.Dir), entry.Name()))
		}
	}
	slices.Sort(files)
	return files
}

// HasMember tells whether there is a member's data by etcd's own measure: a file of a log. A log that is there and
// cannot be listed counts: it is not gone.
func (d Data) HasMember() bool {
	if len(d.LogFiles()) > 0 {
		return true
	}
	_, err := inside.ReadDir(d.path(LogDir(d.Dir)))
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

// openLogFile opens a file of a log.
func (d Data) openLogFile(path string) (*os.File, error) {
	return inside.OpenFile(d.path(path), os.O_RDONLY, 0)
}

// eachRecord reads one file of a log, until its end or until do ends it. A record that was not written to its end, as a
// power cut leaves it, is the end where the file is the last one: etcd takes it for that too.
func (d Data) eachRecord(path string, last bool, do func(kind int64, data []byte) error) error {
	file, err := d.openLogFile(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	in, crc, offset := bufio.NewReader(file), uint32(0), int64(0)
	for {
		frame, length, err := readFrame(in, info.Size())
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		offset += length
		fields, err := parseFields(frame)
		if err != nil && last && isTorn(frame[:cap(frame)], offset-length+frameHead) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: a record cannot be read: %w", path, err)
		}
		kind, data := int64(fields.numbers[1]), fields.texts[3]
		if kind == recordCRC {
			crc = uint32(fields.numbers[2]) // the sum goes on from the file before
		} else if crc = crc32.Update(crc, castagnoli, data); crc != uint32(fields.numbers[2]) {
			if last && isTorn(frame[:cap(frame)], offset-length+frameHead) {
				return nil
			}
			return fmt.Errorf("read %s: a record does not have the checksum that it says", path)
		}
		if err := do(kind, data); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
}

// frameHead is how many bytes say how long a record is.
const frameHead = 8

// readFrame reads the next record, and says how many bytes of the file it takes: its length is in the lower 56 bits of
// a word, and in the upper ones how many bytes fill it up. Files are made longer than what is in them: a length of zero
// is the end.
func readFrame(in io.Reader, limit int64) (frame []byte, length int64, err error) {
	var word [frameHead]byte
	if _, err := io.ReadFull(in, word[:]); err != nil {
		return nil, 0, err
	}
	head := binary.LittleEndian.Uint64(word[:])
	size, padding := int64(head&(1<<56-1)), int64(0)
	if head>>63 == 1 {
		padding = int64(head >> 56 & 7)
	}
	if size == 0 {
		return nil, 0, io.EOF
	}
	if size > limit {
		return nil, 0, io.ErrUnexpectedEOF
	}
	frame = make([]byte, size+padding)
	_, err = io.ReadFull(in, frame)
	return frame[: size : size+padding], frameHead + size + padding, err
}

// sectorSize is the least that a disk writes at once.
const sectorSize = 512

// isTorn tells whether a record, with what fills it up, that lies at an offset of its file was not written to its end
// by a power cut: one of its sectors has nothing in it. etcd goes by that too.
func isTorn(record []byte, offset int64) bool {
	for len(record) > 0 {
		n := min(int64(len(record)), sectorSize-offset%sectorSize)
		if !slices.ContainsFunc(record[:n], func(b byte) bool { return b != 0 }) {
			return true
		}
		record, offset = record[n:], offset+n
	}
	return false
}

// fields are those of a protobuf message that are numbers or texts.
type fields struct {
	numbers map[protowire.Number]uint64
	texts   map[protowire.Number][]byte
}

// parseFields reads a protobuf message by its wire format.
func parseFields(message []byte) (fields, error) {
	f := fields{map[protowire.Number]uint64{}, map[protowire.Number][]byte{}}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return f, protowire.ParseError(n)
		}
		message = message[n:]
		switch kind {
		case protowire.VarintType:
			f.numbers[number], n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			f.texts[number], n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return f, protowire.ParseError(n)
		}
		message = message[n:]
	}
	return f, nil
}
