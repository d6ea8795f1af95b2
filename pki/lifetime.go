package pki

import (
	"fmt"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
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

// NeedsRenewal decides whether a certificate is due for renewal: when renewBefore or, if that is not positive, a third
// of its lifetime is left. The third also applies if renewBefore is no shorter than the whole lifetime, as it may be
// for the short-lived leaves of an authority that is about to expire: they would be renewed forever.
func NeedsRenewal(info cert.Info, now time.Time, renewBefore time.Duration) bool {
	lifetime := info.NotAfter.Sub(info.NotBefore)
	if renewBefore <= 0 || renewBefore >= lifetime-cert.Backdate {
		renewBefore = lifetime / 3
	}
	return !now.Before(info.NotAfter.Add(-renewBefore))
}
