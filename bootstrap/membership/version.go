package membership

import (
	"slices"
	"strconv"
	"strings"
)

// Minor returns the minor version of a version: 3.7 for 3.7.3, and 3.7 for 3.7.
func Minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// CompareVersions orders versions and minor versions numerically: 3.6.16 comes before 3.7.0, and 3.6 before 3.6.1.
func CompareVersions(a, b string) int { return slices.Compare(numbers(a), numbers(b)) }

// numbers returns the parts of a version. A part that is no number counts as 0: versions come from etcd, or are
// validated before.
func numbers(version string) []int {
	if version == "" {
		return nil
	}
	var ns []int
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part)
		ns = append(ns, n)
	}
	return ns
}

// MinorsApart returns how many minor versions lie between two versions of one major version: 1 for 3.6.16 and 3.7.3.
// Across major versions it is more than any number of minors.
func MinorsApart(a, b string) int {
	x, y := append(numbers(a), 0, 0), append(numbers(b), 0, 0)
	if x[0] != y[0] {
		return 1000
	}
	return max(x[1]-y[1], y[1]-x[1])
}

// floors are the lowest patch versions from which a minor version may be upgraded to the next. Members of older patch
// versions can bring removed members back (3.5), or fail in the upgrade (3.6). etcd's upgrade guides name them.
var floors = map[string]string{"3.5": "3.5.32", "3.6": "3.6.11"}

// Floor returns the lowest patch version from which etcd may be upgraded to the next minor version, or "" for any.
func Floor(version string) string { return floors[Minor(version)] }

// NewestOf returns the newest of versions with this minor version, or "".
func NewestOf(minor string, versions []string) string {
	newest := ""
	for _, v := range versions {
		if Minor(v) == minor && CompareVersions(v, newest) > 0 {
			newest = v
		}
	}
	return newest
}
