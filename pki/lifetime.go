package pki

import (
	"fmt"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Lifetimes.
const (
	// DefaultAuthorityLifetime is 10 years: an authority is exchanged by intent, and not by a calendar.
	DefaultAuthorityLifetime = 87600 * time.Hour
	// DefaultLeafLifetime is 1 year.
	DefaultLeafLifetime = 8760 * time.Hour
	// MinimumLifetime is the shortest that is signed: any less is over before an apply is.
	MinimumLifetime = 10 * time.Minute
)

func checkLifetime(lifetime time.Duration) error {
	if lifetime < MinimumLifetime {
		return fmt.Errorf("a lifetime of %s is too short; it must be at least %s", lifetime, MinimumLifetime)
	}
	return nil
}

// NeedsRenewal decides whether a certificate is due for renewal: when renewBefore is left of its
// lifetime, or a third of the lifetime where renewBefore is not positive. The third also counts where
// renewBefore is no shorter than the whole lifetime: that would renew a certificate for ever, which
// an authority about to expire, whose leaves are cut short, would otherwise bring about.
func NeedsRenewal(info cert.Info, now time.Time, renewBefore time.Duration) bool {
	lifetime := info.NotAfter.Sub(info.NotBefore)
	if renewBefore <= 0 || renewBefore >= lifetime-cert.Backdate {
		renewBefore = lifetime / 3
	}
	return !now.Before(info.NotAfter.Add(-renewBefore))
}
