package order

import (
	"fmt"
	"time"
)

// Lifetimes.
const (
	// DefaultLeafLifetime is 1 year.
	DefaultLeafLifetime = 8760 * time.Hour
	// MinimumLifetime is the shortest lifetime that is signed: a shorter one would end before an apply does.
	MinimumLifetime = 10 * time.Minute
)

// CheckLifetime refuses a lifetime that is too short.
func CheckLifetime(lifetime time.Duration) error {
	if lifetime < MinimumLifetime {
		return fmt.Errorf("a lifetime of %s is too short; it must be at least %s", lifetime, MinimumLifetime)
	}
	return nil
}
