// Package etcdfs reads what etcd has written: a member's log and database, whether the member runs or not, and
// snapshots. It says what is damaged.
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
	Root string // in front of every path; "/" except in tests
	Dir  string // path on the host
}

// path returns the path at which this process finds a path of the host.
func (d Data) path(p string) string { return filepath.Join(d.Root, p) }

// This file reads a member's log by its format on the disk, which all versions of etcd share. etcd's own package reads
// the whole log into memory, from its first file on, and has other types in each version.

// Kinds of a log's records.
const (
	recordMetadata int64 = 1
	recordEntry    int64 = 2
	recordCRC      int64 = 4
	recordSnapshot int64 = 5
)

// errEnough ends a reading before its end, without an error.
var errEnough = errors.New("enough was read")

// castagnoli is the table of the log's checksums.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// LogDir returns the directory of a member's log.
func LogDir(dir string) string { return filepath.Join(dir, "member", "wal") }

// LogFiles returns the files of a member's log in order, or none if there is no log.
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

// HasMember tells whether the directory holds a member's data, as etcd itself decides: by a file of a log. A log that
// exists and cannot be listed counts too.
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

// eachRecord calls do for each record of one file of a log, until the end of the file or until do returns errEnough. If
// the file is the last one, an incomplete record, as a power cut leaves it, is its end: etcd treats such a record in
// the same way.
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
			crc = uint32(fields.numbers[2]) // the sum continues that of the file before
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

// frameHead is how many bytes hold the length of a record.
const frameHead = 8

// readFrame reads the next record, and returns how many bytes of the file it takes. The lower 56 bits of the first word
// are the record's length, and the upper ones how many bytes of padding follow. Files are longer than their content: a
// length of zero is the end.
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

// sectorSize is the smallest unit that a disk writes.
const sectorSize = 512

// isTorn tells whether a power cut has left a record incomplete: one of its sectors, its padding included, has only
// zeros. offset is the record's position in its file. etcd decides in the same way.
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

// fields are the varints and the byte strings of a protobuf message.
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
