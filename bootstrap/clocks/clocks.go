// Package clocks compares the clocks of members' hosts with each other and with the operator's.
package clocks

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Clock is how far a host's clock is ahead of the operator's: between From and To, which are negative if it is behind.
// The zero value means that this is not known.
type Clock struct {
	From, To time.Duration
	Known    bool
}

// Of compares a host's clock with the operator's. The host has read its own clock, to this precision, between the
// operator's two times, so the duration of the exchange bounds the error.
func Of(asked, answered, read time.Time, precision time.Duration) Clock {
	if asked.IsZero() || read.IsZero() {
		return Clock{}
	}
	return Clock{From: read.Sub(answered), To: read.Add(precision).Sub(asked), Known: true}
}

// Skew returns the least by which the clock must be wrong, however long the exchange took.
func (c Clock) Skew() time.Duration { return max(c.From, 0) + min(c.To, 0) }

// aheadOf returns the least by which a clock must be ahead of another one, or 0.
func (c Clock) aheadOf(other Clock) time.Duration {
	if !c.Known || !other.Known {
		return 0
	}
	return max(c.From-other.To, 0)
}

// Noticeable is the skew from which plans warn of clocks.
const Noticeable = time.Second

// setRight says what a user does about clocks that differ.
const setRight = "set the clocks right (chronyc makestep, or timedatectl set-ntp true)"

// Clocks are the clocks of members' hosts.
type Clocks map[membership.Member]Clock

// Differ returns what is wrong with the clocks of members' hosts, if they differ from the operator's or from each other
// by more than a skew. It leaves out members whose clock is not known.
func (c Clocks) Differ(members []membership.Member, beyond time.Duration) []*membership.Refusal {
	known := slices.DeleteFunc(slices.Clone(members), func(m membership.Member) bool { return !c[m].Known })
	wrong := slices.DeleteFunc(slices.Clone(known), func(m membership.Member) bool { return c[m].Skew().Abs() <= beyond })
	var found []*membership.Refusal
	say := func(m membership.Member, rule, remedy string) {
		found = append(found, &membership.Refusal{Member: m.Name, At: m.Address, Summary: "Clocks differ", Rule: rule, Remedy: remedy + ", and plan again"})
	}
	apart, first, last := c.furthestApart(known)
	if together := apart <= beyond; len(wrong) > 1 && len(wrong) == len(known) && together {
		least := slices.MinFunc(wrong, func(a, b membership.Member) int {
			return cmp.Compare(c[a].Skew().Abs(), c[b].Skew().Abs())
		})
		say(membership.Member{}, fmt.Sprintf("the clocks of all hosts are at least %s this machine's, and agree with each other", direction(c[least].Skew())),
			"set this machine's clock right if it is the wrong one; else "+setRight+" on the hosts")
		return found
	}
	for _, m := range wrong {
		say(m, fmt.Sprintf("its clock is at least %s this machine's", direction(c[m].Skew())), setRight)
	}
	if len(wrong) == 0 && apart > beyond {
		say(last, fmt.Sprintf("its clock is at least %s the one of %s", direction(apart), first), setRight)
	}
	return found
}

// furthestApart returns the two members whose clocks are known to differ most, the one that is ahead last.
func (c Clocks) furthestApart(members []membership.Member) (apart time.Duration, first, last membership.Member) {
	for _, a := range members {
		for _, b := range members {
			if d := c[a].aheadOf(c[b]); d > apart {
				apart, first, last = d, b, a
			}
		}
	}
	return apart, first, last
}

// MaySign refuses to have certificates signed for members whose hosts' clocks differ by more than certificates are
// backdated: by its own clock, a host would refuse a certificate that begins only later.
func (c Clocks) MaySign(members []membership.Member) error {
	wrong := c.Differ(members, cert.Backdate)
	if len(wrong) == 0 {
		return nil
	}
	refusal := *wrong[0]
	refusal.Rule += fmt.Sprintf(", and no certificate is signed then: it begins %s before it is signed, and a host that is further behind refuses it", membership.Short(cert.Backdate))
	return &refusal
}

// direction says how far a clock is ahead of another one, or behind it.
func direction(skew time.Duration) string {
	if skew < 0 {
		return membership.Short(-skew) + " behind"
	}
	return membership.Short(skew) + " ahead of"
}
