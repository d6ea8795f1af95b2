package units

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fullDisk is what etcd 3.7.3 logs if its disk has no room for a log, shortened, and between that what it logs at every
// start.
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

// TestJournalSaysWhy reads the journal of a unit that is started again and again, in the middle of a start. The lines
// that say why it failed are shown once each, and so are the last ones.
func TestJournalSaysWhy(t *testing.T) {
	var lines []string
	for start := range 4 {
		lines = append(lines, fullDisk(start)...)
	}
	lines = append(lines, fullDisk(9)[:30]...)
	told := pickLines(lines)
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
	if !slices.Equal(pickLines(lines[:3]), lines[:3]) {
		t.Error("a short journal is not told whole")
	}
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf(`{"level":"error","caller":"a.go:1","msg":"error %d"}`, i)
	}
	if told := pickLines(many); told[0] != many[80] || told[19] != many[99] {
		t.Errorf("of many errors, not the newest are told:\n%s", strings.Join(told, "\n"))
	}
}

// TestJournalIsCut holds that long lines are cut between characters, and that bytes that are no text are replaced.
func TestJournalIsCut(t *testing.T) {
	var asked []string
	j := Journal{func(_ context.Context, name string, args ...string) ([]byte, error) {
		asked = append([]string{name}, args...)
		return []byte("short\n" + strings.Repeat("é", journalWidth) + "\n\xff\n"), nil
	}}
	want := []string{"short", strings.Repeat("é", journalWidth/2) + " ...", "?"}
	if diff := cmp.Diff(want, j.Failure(t.Context(), "etcd@main.service")); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(asked, "--unit=etcd@main.service") || !slices.Contains(asked, "--lines=400") {
		t.Errorf("the journal was asked for by %q", asked)
	}
}

// TestJournalOfAPanic holds that the stack trace of a panic does not push out its reason.
func TestJournalOfAPanic(t *testing.T) {
	j := Journal{func(context.Context, string, ...string) ([]byte, error) {
		calls := strings.Repeat("go.etcd.io/etcd/server/v3/embed.StartEtcd(0x21deb60a808)\n\tgo.etcd.io/etcd/server/v3@v3.6.16/embed/etcd.go:262 +0x11c8\n", journalLines)
		return []byte(strings.Repeat("before\n", journalLines) + "panic: invalid downgrade\n\ngoroutine 1 [running]:\n" + calls + "created by main.main\n\tmain.go:19 +0x65\netcd@main.service: Main process exited\n"), nil
	}}
	want := append(slices.Repeat([]string{"before"}, journalLines-3), "panic: invalid downgrade", "", "etcd@main.service: Main process exited")
	if diff := cmp.Diff(want, j.Failure(t.Context(), "etcd@main.service")); diff != "" {
		t.Error(diff)
	}
}
