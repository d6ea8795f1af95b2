package api

import "strings"

// FlagValue returns the value of a flag in a list of etcd's flags, or "". As in etcd, the last one counts.
func FlagValue(flags []string, name string) string {
	given := ""
	for _, line := range flags {
		if value, ok := strings.CutPrefix(line, "--"+name+"="); ok {
			given = value
		}
	}
	return given
}
