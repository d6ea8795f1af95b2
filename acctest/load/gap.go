package load

import (
	"slices"
	"time"
)

// Gap is a time in which no put was acknowledged.
type Gap struct {
	From, To time.Duration
}

// Length is how long it is.
func (g Gap) Length() time.Duration { return g.To - g.From }

// longest is the longest gap that reaches into the time between from and to. ends are those of acknowledged
// puts, in order. A gap counts whole, also what of it lies before from or after to; where no put was
// acknowledged before or after, it begins at from or ends at to.
func longest(ends []time.Duration, from, to time.Duration) Gap {
	if to <= from {
		return Gap{from, from}
	}
	first, _ := slices.BinarySearch(ends, from)
	begin := from
	if first > 0 {
		begin = ends[first-1]
	}
	var worst Gap
	for _, end := range ends[first:] {
		if g := (Gap{begin, end}); g.Length() > worst.Length() {
			worst = g
		}
		if begin = end; begin >= to {
			return worst
		}
	}
	if g := (Gap{begin, to}); g.Length() > worst.Length() {
		worst = g
	}
	return worst
}

// Yardstick is what bare moves of the leadership did to the writers: the longest gap of each move.
type Yardstick struct {
	Gaps          []Gap
	Worst, Median Gap
}

// yardstickOf finds the gaps that reach into a move, or the time that the cluster was left alone after it.
func yardstickOf(ends []time.Duration, moves []Move) Yardstick {
	var y Yardstick
	for _, m := range moves {
		y.Gaps = append(y.Gaps, longest(ends, m.Start, m.End+afterMove/2))
	}
	if len(y.Gaps) == 0 {
		return y
	}
	sorted := slices.SortedFunc(slices.Values(y.Gaps), func(a, b Gap) int { return int(a.Length() - b.Length()) })
	y.Worst, y.Median = sorted[len(sorted)-1], sorted[len(sorted)/2]
	return y
}
