package host

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// fullDisk is what etcd 3.7.3 logs where its disk has no room for a log, shortened, between what it logs at every start.
func fullDisk(start int) []string {
	at := fmt.Sprintf(`"ts":"2026-11-28T04:17:%02d.755105Z"`, start)
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf(`{"level":"info",%s,"caller":"embed/config.go:%d","msg":"starting"}`, at, i))
	}
	return append(lines,
		`{"level":"warn",`+at+`,"caller":"embed/config.go:956","msg":"Running http and grpc server on single port."}`,
		`{"level":"warn",`+at+`,"caller":"wal/wal.go:148","msg":"failed to preallocate an initial WAL file","segment-bytes":64000000,"error":"no space left on device"}`,
		`{"level":"panic",`+at+`,"caller":"etcdserver/bootstrap.go:679","msg":"failed to create WAL","error":"no space left on device","stacktrace":"go.etcd.io/etcd"}`,
		"panic: failed to create WAL", "", "etcd@prod.service: Main process exited, code=exited, status=2/INVALIDARGUMENT")
}

// TestJournalSaysWhy has a unit that is started again and again, and caught in the middle of a start: the lines that say why it
// failed are among those that are shown, once each, and so are the last ones.
func TestJournalSaysWhy(t *testing.T) {
	var lines []string
	for start := range 4 {
		lines = append(lines, fullDisk(start)...)
	}
	lines = append(lines, fullDisk(9)[:30]...)
	told := telling(lines)
	if len(told) != journalLines {
		t.Errorf("%d lines are told", len(told))
	}
	for _, why := range []string{`"failed to preallocate an initial WAL file"`, `"msg":"failed to create WAL","error":"no space left on device"`, "panic: failed to create WAL"} {
		n := 0
		for _, line := range told {
			if strings.Contains(line, why) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d lines say %s:\n%s", n, why, strings.Join(told, "\n"))
		}
	}
	if last := lines[len(lines)-10:]; !slices.Equal(told[len(told)-10:], last) {
		t.Errorf("the last lines are\n%s\nand are not\n%s", strings.Join(told[len(told)-10:], "\n"), strings.Join(last, "\n"))
	}
	if !slices.Equal(telling(lines[:3]), lines[:3]) {
		t.Error("a short journal is not told whole")
	}
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf(`{"level":"error","caller":"a.go:1","msg":"error %d"}`, i)
	}
	if told := telling(many); told[0] != many[80] || told[19] != many[99] {
		t.Errorf("of many errors, not the newest are told:\n%s", strings.Join(told, "\n"))
	}
}
