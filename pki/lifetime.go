package pki

import (
	"fmt"
	"time"
)

// Lifetimes.
const (
	// DefaultAuthorityLifetime is 10 years: an authority is replaced on purpose, and not by a calendar.
	DefaultAuthorityLifetime = 87600 * time.Hour
	// DefaultLeafLifetime is 1 year.
	DefaultLeafLifetime = 8760 * time.Hour
	// MinimumLifetime is the shortest lifetime that is signed: a shorter one would end before an apply does.
	MinimumLifetime = 10 * time.Minute
)

func checkLifetime(lifetime time.Duration) error {
	if lifetime < MinimumLifetime {
		return fmt.Errorf("a lifetime of %s is too short; it must be at least %s", lifetime, MinimumLifetime)
	}
	return nil
}
