package units

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// journalLines is how many lines of a unit's journal an observation holds.
const journalLines = 20

// journalReach is how many of the last lines are searched for these. It covers several starts, since the journal of a
// unit that systemd starts again and again ends in the middle of one.
const journalReach = 400

// journalWhy is how many of the lines may be ones that say why the unit failed. The rest are the last lines.
const journalWhy = 12

// journalWidth is how many bytes of a line an observation holds: the reason is at the beginning of a line.
const journalWidth = 500

// Journal reads the logs of units.
type Journal struct{ Run Runner }

// Failure returns the lines of a unit's journal that say why it failed, and the last ones. The unit's state is known
// without them, so if the journal cannot be read, a line of its own says that.
func (j Journal) Failure(ctx context.Context, unit string) []string {
	out, err := j.Run(ctx, "journalctl", "--unit="+unit, fmt.Sprintf("--lines=%d", journalReach), "--output=cat", "--no-pager", "--quiet")
	if err != nil {
		return []string{fmt.Sprintf("(the journal cannot be read: %s)", err)}
	}
	var lines []string
	for line := range bytes.Lines(stackTrace.ReplaceAll(out, nil)) {
		lines = append(lines, strings.ToValidUTF8(string(bytes.TrimRight(line, "\n")), "?"))
	}
	lines = pickLines(lines)
	for i, line := range lines {
		if len(line) > journalWidth {
			lines[i] = strings.ToValidUTF8(line[:journalWidth], "") + " ..."
		}
	}
	return lines
}

// stackTrace matches a call in the stack trace of a Go program, which has two lines, and the heading of a goroutine.
var stackTrace = regexp.MustCompile(`(?m)^.*\n\t\S+\.go:\d+.*(\n|$)|^goroutine \d+ .*\n`)

// pickLines returns the lines of a journal that say why a unit has failed, and fills up with the last lines, all in
// their order. If there are too many, it takes the gravest and newest. Of lines that say the same, as each start of a
// failing unit does, it takes the last.
func pickLines(lines []string) []string {
	take := make([]bool, len(lines))
	taken, said := 0, map[string]bool{}
	for _, level := range []severity{fatal, bad} {
		for i := len(lines) - 1; i >= 0 && taken < journalWhy; i-- {
			if g, what := severityOf(lines[i]); g == level && !said[what] {
				take[i], said[what] = true, true
				taken++
			}
		}
	}
	for i := len(lines) - 1; i >= 0 && taken < journalLines; i-- {
		if !take[i] {
			take[i] = true
			taken++
		}
	}
	var told []string
	for i, line := range lines {
		if take[i] {
			told = append(told, line)
		}
	}
	return told
}

// severity is how much a line of a journal says about a failure.
type severity int

const (
	plain severity = iota
	bad            // an error, or a warning that names an error
	fatal          // the process ended with this
)

// severityOf returns the severity of a line, and what the line says apart from the time. etcd logs JSON; a panic of Go
// and the guard write text.
func severityOf(line string) (g severity, what string) {
	var entry struct{ Level, Caller, Msg, Error string }
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &entry) != nil {
		if slices.ContainsFunc([]string{"panic: ", "fatal error: "}, func(start string) bool { return strings.HasPrefix(line, start) }) {
			return fatal, line
		}
		return plain, line
	}
	what = entry.Caller + entry.Msg + entry.Error
	switch entry.Level {
	case "panic", "dpanic", "fatal":
		return fatal, what
	case "error":
		return bad, what
	case "warn":
		if entry.Error != "" || entry.Msg == otherHash {
			return bad, what
		}
	}
	return plain, what
}
