package api

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// version is a version of etcd's, or a minor version.
var version = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.|$)`)

// IsVersion tells whether a text is a version of etcd's, or a minor version: 3.7.3, or 3.7.
func IsVersion(text string) bool { return version.MatchString(text) }

// Minor is the minor version of a version: 3.7 of 3.7.3, and 3.7 of 3.7.
func Minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// CompareVersions orders versions, and minor versions, by their numbers: 3.6.16 comes before 3.7.0, and 3.6
// before 3.6.1.
func CompareVersions(a, b string) int { return slices.Compare(numbers(a), numbers(b)) }

// numbers are the parts of a version. A part that is no number counts as 0: versions come from etcd
// itself, or are validated before they come here.
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

// MinorsApart is how many minors lie between two versions of one major: 1 from 3.6.16 to 3.7.3. Of
// two majors it is more than any number of minors.
func MinorsApart(a, b string) int {
	x, y := append(numbers(a), 0, 0), append(numbers(b), 0, 0)
	if x[0] != y[0] {
		return 1000
	}
	return max(x[1]-y[1], y[1]-x[1])
}
