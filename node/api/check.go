package api

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// These checks refuse a request before the host looks at its own state.

// Refuse returns the error of a call that a safety rule forbids. Nothing was changed when it is returned.
func Refuse(format string, args ...any) error {
	return &Error{Code: CodeRefused, Message: fmt.Sprintf(format, args...)}
}

// LongestWait is the longest time without progress that a call may wait.
const LongestWait = 10 * time.Minute

// CheckTimeout refuses a timeout with which a call would end at once, or block the host for too long.
func CheckTimeout(timeout time.Duration) error {
	if timeout <= 0 || timeout > LongestWait {
		return Refuse("a time limit of %s was given: give a positive one of at most %s", timeout, LongestWait)
	}
	return nil
}

// FormatID formats a member or cluster ID as etcd's own tools do.
func FormatID(id uint64) string { return strconv.FormatUint(id, 16) }

// ParseID parses a member ID in the format of FormatID.
func ParseID(text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 16, 64)
	if err != nil || id == 0 || FormatID(id) != text {
		return 0, Refuse("%q is no member ID in hexadecimal", text)
	}
	return id, nil
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// CheckSHA256 refuses a text that is no SHA-256; of names what it should be of.
func CheckSHA256(text, of string) error {
	if !sha256Hex.MatchString(text) {
		return Refuse("%q is no SHA-256 of %s", text, of)
	}
	return nil
}

// CheckFlags refuses lines that the store would not turn back into the same arguments, and a data directory other than
// the marker's.
func CheckFlags(flags []string, marker Marker) error {
	for _, line := range flags {
		name, _, given := strings.Cut(line, "=")
		if !given || len(name) < 3 || !strings.HasPrefix(name, "--") || strings.ContainsAny(line, "\n\r") || strings.TrimSpace(line) != line {
			return Refuse("%q is no flag of the form --name=value", line)
		}
	}
	if want := "--data-dir=" + marker.DataDir; !slices.Contains(flags, want) {
		return Refuse("the flags lack %s, which the marker names", want)
	}
	return nil
}

// CheckKeyName refuses a key that no member has.
func CheckKeyName(name string) error {
	if !slices.Contains(KeyNames, name) {
		return Refuse("there is no key %q", name)
	}
	return nil
}

// CheckRestore refuses a restore that makes no sense on any host.
func CheckRestore(cluster string, r RestoreRequest) error {
	switch {
	case r.Marker.Cluster != cluster:
		return Refuse("the marker is of cluster %q and the call of cluster %q", r.Marker.Cluster, cluster)
	case r.Marker.Owner == "" || r.Marker.Token == "":
		return Refuse("the marker of a restored member needs an owner and a token")
	case r.Bump < 1:
		return Refuse("revisions are to be raised by %d: clients that have seen the old ones would miss what is written now; raise them", r.Bump)
	}
	return CheckSHA256(r.Snapshot, "a snapshot")
}
