package etcdfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// TestLogEndsInTheFileBefore holds that a last file which has nothing but the record of an older snapshot does not hide
// the entries of the file before. A snapshot from the leader that is ahead of the entries counts.
func TestLogEndsInTheFileBefore(t *testing.T) {
	t.Parallel()
	d := Data{Root: t.TempDir(), Dir: "/var/lib/etcd/main"}
	crc := uint32(0)
	record := func(kind int64, data []byte) string {
		crc = crc32.Update(crc, castagnoli, data)
		message := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(kind))
		message = protowire.AppendVarint(protowire.AppendTag(message, 2, protowire.VarintType), uint64(crc))
		if data != nil {
			message = protowire.AppendBytes(protowire.AppendTag(message, 3, protowire.BytesType), data)
		}
		head := uint64(len(message))
		if padding := (8 - len(message)%8) % 8; padding > 0 {
			head |= uint64(0x80|padding) << 56
			message = append(message, make([]byte, padding)...)
		}
		return string(binary.LittleEndian.AppendUint64(nil, head)) + string(message)
	}
	numbers := func(of ...uint64) (message []byte) {
		for i, number := range of {
			message = protowire.AppendVarint(protowire.AppendTag(message, protowire.Number(i+1), protowire.VarintType), number)
		}
		return message
	}
	entry := func(term, index uint64) string { return record(recordEntry, numbers(0, term, index)) }
	snapshot := func(term, index uint64) string { return record(recordSnapshot, numbers(index, term)) }
	begin := func() string { return record(recordCRC, nil) + record(recordMetadata, numbers(7, 8)) }
	const tail = "\x00\x00\x00\x00\x00\x00\x00\x00"
	for name, test := range map[string]struct {
		files       func() []string
		term, index uint64
	}{
		"entries":                            {func() []string { return []string{begin() + entry(2, 5) + entry(2, 6)} }, 2, 6},
		"entries that were replaced":         {func() []string { return []string{begin() + entry(2, 5) + entry(2, 6) + entry(3, 5)} }, 3, 5},
		"begun just before":                  {func() []string { return []string{begin() + entry(2, 5) + entry(2, 6), begin()} }, 2, 6},
		"begun, with an earlier snapshot":    {func() []string { return []string{begin() + entry(2, 5) + entry(2, 6), begin() + snapshot(2, 5)} }, 2, 6},
		"a snapshot of the leader":           {func() []string { return []string{begin() + entry(2, 6) + snapshot(4, 90)} }, 4, 90},
		"begun, with one of the leader":      {func() []string { return []string{begin() + entry(2, 6), begin() + snapshot(4, 90)} }, 4, 90},
		"a snapshot of the leader, and more": {func() []string { return []string{begin() + entry(2, 6) + snapshot(4, 90), begin() + entry(4, 91)} }, 4, 91},
		"nothing":                            {func() []string { return []string{begin()} }, 0, 0},
	} {
		if err := errors.Join(os.RemoveAll(d.path(LogDir(d.Dir))), os.MkdirAll(d.path(LogDir(d.Dir)), 0o700)); err != nil {
			t.Fatal(err)
		}
		crc = 0
		for i, text := range test.files() {
			if err := os.WriteFile(d.path(fmt.Sprintf("%s/%016x-%016x.wal", LogDir(d.Dir), i, i*100)), []byte(text+tail), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if l := d.ReadLog(); l.Error != "" || l.Term != test.term || l.Index != test.index || l.MemberID != "7" {
			t.Errorf("%s: it reads %+v", name, l)
		}
	}
}
