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

// journalReach is how many of the last lines are read for them: those of several starts, since a unit that systemd
// starts again and again ends in the middle of one.
const journalReach = 400

// journalWhy is how many of them may be lines that say why it failed. The others are the last ones.
const journalWhy = 12

// journalWidth is how many bytes of each it holds: the reason stands at the beginning of a line.
const journalWidth = 500

// Journal reads what units have logged.
type Journal struct{ Run Runner }

// Failure is what a unit's journal says of its failure: the lines that say why, and the last ones. They are evidence
// beside a state that is known, so a journal that cannot be read says so in a line of its own.
func (j Journal) Failure(ctx context.Context, unit string) []string {
	out, err := j.Run(ctx, "journalctl", "--unit="+unit, fmt.Sprintf("--lines=%d", journalReach), "--output=cat", "--no-pager", "--quiet")
	if err != nil {
		return []string{fmt.Sprintf("(the journal cannot be read: %s)", err)}
	}
	var lines []string
	for line := range bytes.Lines(stackTrace.ReplaceAll(out, nil)) {
		lines = append(lines, strings.ToValidUTF8(string(bytes.TrimRight(line, "\n")), "?"))
	}
	lines = telling(lines)
	for i, line := range lines {
		if len(line) > journalWidth {
			lines[i] = strings.ToValidUTF8(line[:journalWidth], "") + " ..."
		}
	}
	return lines
}

// stackTrace is a call in the stack trace of a Go program, in two lines, or the heading of a goroutine's.
var stackTrace = regexp.MustCompile(`(?m)^.*\n\t\S+\.go:\d+.*(\n|$)|^goroutine \d+ .*\n`)

// telling are the lines of a journal that say why a unit has failed, the worst and the newest first where there are too
// many, and as many of the last ones as there is room for; all in their order. Of lines that say the same, as with each
// start of a unit that is started again and again, it takes the last.
func telling(lines []string) []string {
	take := make([]bool, len(lines))
	taken, said := 0, map[string]bool{}
	for _, grave := range []gravity{fatal, troubled} {
		for i := len(lines) - 1; i >= 0 && taken < journalWhy; i-- {
			if g, what := gravityOf(lines[i]); g == grave && !said[what] {
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

// gravity is how much a line of a journal tells of a failure.
type gravity int

const (
	plain    gravity = iota
	troubled         // an error, or a warning of one
	fatal            // what the process ended by
)

// gravityOf is the gravity of a line, and what it says apart from when. etcd logs JSON; a panic of Go, and the guard,
// write text.
func gravityOf(line string) (g gravity, what string) {
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
		return troubled, what
	case "warn":
		if entry.Error != "" || entry.Msg == otherHash {
			return troubled, what
		}
	}
	return plain, what
}
