package api

import "strings"

// FlagValue is the value of a flag among etcd's flags, one a line, as etcd takes it: the last one that is given; empty: none is.
func FlagValue(flags []string, name string) string {
	given := ""
	for _, line := range flags {
		if value, ok := strings.CutPrefix(line, "--"+name+"="); ok {
			given = value
		}
	}
	return given
}
