// Package sample says what `make test` leaves to `make test-all`: tests whose like it has already, and draws of
// properties beyond what a few seconds allow. `make test` runs go test with -short, `make test-all` without.
package sample

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// LeftToTestAll is how a test that is skipped begins to say so. The table at the end of `make test` counts these.
const LeftToTestAll = "left to make test-all: "

// Leave skips a test in `make test`. instead is what `make test` has in its place.
func Leave(t testing.TB, instead string) {
	t.Helper()
	if testing.Short() {
		t.Skip(LeftToTestAll + instead)
	}
}

// LeaveToNewestMinor skips a test in `make test` where it is run with an older minor version of etcd, as it is with the
// newest. same says what in the test depends on no version of etcd.
func LeaveToNewestMinor(t testing.TB, same string) {
	t.Helper()
	if strings.Contains(os.Getenv("GOFLAGS"), "-modfile=") { // as the Makefile tests an older minor version
		Leave(t, "it runs with the newest minor version, and "+same)
	}
}

// budget is how long `make test` draws for one property, and least how often it is tried, however long that takes.
const (
	budget = 2 * time.Second
	least  = 5
)

// Drew is how the line begins that says how often a property was tried.
const Drew = "drew "

// Check tries a property on so many draws: the same in every run, by seeds that follow from the first, so that a run
// tells of the change that it is run for. `make test` ends after some seconds, with a prefix of what `make test-all`
// draws. Where -rapid.seed or -rapid.checks are given, they decide.
func Check(t *testing.T, draws int, property func(*rapid.T)) {
	t.Helper()
	check(t, t, draws, within(budget), property)
}

// CheckInBubble is Check where the property is tried in a bubble of synctest, whose clock is not the budget's.
func CheckInBubble(t *testing.T, draws int, property func(*rapid.T)) {
	t.Helper()
	over := within(budget)
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		// rapid would take the test's deadline for one of the bubble's clock.
		check(t, struct{ rapid.TB }{t}, draws, over, property)
	})
}

// within tells when a time is over; without -short it never is.
func within(d time.Duration) *atomic.Bool {
	var over atomic.Bool
	if testing.Short() {
		time.AfterFunc(d, func() { over.Store(true) })
	}
	return &over
}

func check(t *testing.T, tb rapid.TB, draws int, over *atomic.Bool, property func(*rapid.T)) {
	t.Helper()
	if given("rapid.seed") || given("rapid.checks") || given("rapid.failfile") {
		rapid.Check(tb, property)
		return
	}
	defer set(t, "rapid.seed", "0")
	defer set(t, "rapid.checks", "100")
	once := "1"
	if testing.Short() {
		once = "5" // of which rapid takes a fifth
	}
	set(t, "rapid.checks", once)
	seed, n := uint64(1), 0
	for ; n < draws && (n < least || !over.Load()); n++ {
		set(t, "rapid.seed", strconv.FormatUint(seed+uint64(n)*uint64(n+1)/2, 10))
		rapid.Check(quiet{tb}, property)
	}
	t.Logf("%s%d of %d", Drew, n, draws)
}

// quiet leaves out what rapid says of a single draw that went well.
type quiet struct{ rapid.TB }

func (q quiet) Logf(format string, args ...any) {
	if !strings.HasPrefix(format, "[rapid] OK") {
		q.TB.Helper()
		q.TB.Logf(format, args...)
	}
}

func given(name string) bool {
	f := flag.Lookup(name)
	return f.Value.String() != f.DefValue
}

func set(t *testing.T, name, value string) {
	t.Helper()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
}

// EveryNth is, in `make test`, every nth of the cases of a loop; otherwise all of them.
func EveryNth[T any](t testing.TB, n int, all []T) []T {
	t.Helper()
	if !testing.Short() {
		return all
	}
	var some []T
	for i := n / 2; i < len(all); i += n {
		some = append(some, all[i])
	}
	t.Logf("%s%d of %d", Drew, len(some), len(all))
	return some
}

// Stride is by how much a loop goes on that ends where the test finds its end: in `make test` by n, otherwise by one.
func Stride(t testing.TB, n int) int {
	t.Helper()
	if !testing.Short() {
		return 1
	}
	t.Logf("%sone of %d in a loop", Drew, n)
	return n
}
