package model

import "fmt"

// Minor is etcd's minor version within major version 3; 0: none.
type Minor int

// MinorOf returns the minor version of "3.7.3" or "3.7", or 0 if the text is no version.
func MinorOf(version string) Minor {
	var major, n int
	if read, err := fmt.Sscanf(version, "%d.%d", &major, &n); err != nil || read != 2 || major != 3 {
		return 0
	}
	return Minor(n)
}

// String returns the minor version as etcd writes cluster and storage versions, or "" if there is none.
func (m Minor) String() string {
	if m == 0 {
		return ""
	}
	return fmt.Sprintf("3.%d.0", m)
}

// CannotRead returns why a server of this version ends on what a member has written, or "" if it does not.
func (m *Member) CannotRead(own Minor) string {
	s := m.State()
	switch {
	case m.Damaged != "":
		return fmt.Sprintf("panic: the %s of the member is damaged", m.Damaged)
	case m.Storage > own:
		return fmt.Sprintf("cannot detect storage schema version: version %q is not supported", m.Storage)
	case s.Version > own && s.Downgrade != own:
		return fmt.Sprintf("invalid downgrade; server version is lower than determined cluster version: cluster cannot be downgraded (current version: %s is lower than determined cluster version: %s)", own, s.Version)
	case s.Version != 0 && own > s.Version+1:
		return fmt.Sprintf("panic: cluster version %s cannot be raised to %s: one minor at a time", s.Version, own)
	}
	return ""
}

// Decide returns the state of a cluster once its leader has looked at its members' versions. If one of them cannot be
// asked, the state stays as it is.
func Decide(s State, versions map[string]Minor) State {
	lowest, same := Minor(0), true
	for _, l := range s.Members {
		own, up := versions[l.ID]
		if !up {
			return s
		}
		if lowest == 0 || own < lowest {
			lowest = own
		}
		same = same && own == s.Downgrade
	}
	switch {
	case s.Downgrade != 0 && same && s.Version == s.Downgrade:
		s.Downgrade = 0
	case s.Downgrade != 0:
		s.Version = s.Downgrade
	case lowest == s.Version+1:
		s.Version = lowest
	}
	return s
}
