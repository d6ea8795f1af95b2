package etcdflags

import (
	"maps"
	"slices"
	"strings"
)

// meantBy returns the flag that a misspelt name is nearest to, or "" if none is near: a letter in three may be wrong.
// It knows the flags of settings too.
func meantBy(name string) string {
	name = strings.ToLower(strings.TrimLeft(strings.ReplaceAll(name, "_", "-"), "-"))
	best, least := "", len(name)/3+1
	for _, flag := range slices.Sorted(maps.Keys(free)) {
		if d := distance(name, flag); d < least {
			best, least = flag, d
		}
	}
	for _, flag := range settings {
		if d := distance(name, flag); d < least {
			best, least = flag, d
		}
	}
	return best
}

// distance counts the letters that have to be put in, taken out or exchanged to make one name of another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
