package bootstrap

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// Clock is by how much a host's clock is ahead of the operator's: something between From and To, and less than zero where it is
// behind. The zero value: that is not known.
type Clock struct {
	From, To time.Duration
	Known    bool
}

// ClockOf compares a host's clock with the operator's. The host read its own, to this precision, between the two times of the
// operator: so the length of the exchange bounds the error.
func ClockOf(asked, answered, read time.Time, precision time.Duration) Clock {
	if asked.IsZero() || read.IsZero() {
		return Clock{}
	}
	return Clock{From: read.Sub(answered), To: read.Add(precision).Sub(asked), Known: true}
}

// Skew is the least by which the clock is wrong, whatever the exchange took.
func (c Clock) Skew() time.Duration { return max(c.From, 0) + min(c.To, 0) }

// aheadOf is the least by which a clock is ahead of another one; 0: that is not known to be so.
func (c Clock) aheadOf(other Clock) time.Duration {
	if !c.Known || !other.Known {
		return 0
	}
	return max(c.From-other.To, 0)
}

// NoticeableSkew is the skew from which plans warn of clocks.
const NoticeableSkew = time.Second

// setRight is what a user does about clocks that differ.
const setRight = "set the clocks right (chronyc makestep, or timedatectl set-ntp true)"

// Clocks says what is wrong with the clocks of members' hosts, compared with the operator's and with each other, where that is
// more than the given skew. Members without a report, or whose report has no time, are left out.
func (r Reports) Clocks(members []membership.Member, beyond time.Duration) []*membership.Refusal {
	known := slices.DeleteFunc(slices.Clone(members), func(m membership.Member) bool { return !r[m].Clock.Known })
	wrong := slices.DeleteFunc(slices.Clone(known), func(m membership.Member) bool { return r[m].Clock.Skew().Abs() <= beyond })
	var found []*membership.Refusal
	say := func(m membership.Member, rule, remedy string) {
		found = append(found, &membership.Refusal{Member: m.Name, At: m.Address, Summary: "Clocks differ", Rule: rule, Remedy: remedy + ", and plan again"})
	}
	apart, first, last := r.furthestApart(known)
	if together := apart <= beyond; len(wrong) > 1 && len(wrong) == len(known) && together {
		least := slices.MinFunc(wrong, func(a, b membership.Member) int {
			return cmp.Compare(r[a].Clock.Skew().Abs(), r[b].Clock.Skew().Abs())
		})
		say(membership.Member{}, fmt.Sprintf("the clocks of all hosts are at least %s this machine's, and agree with each other", direction(r[least].Clock.Skew())),
			"set this machine's clock right if it is the wrong one; else "+setRight+" on the hosts")
		return found
	}
	for _, m := range wrong {
		say(m, fmt.Sprintf("its clock is at least %s this machine's", direction(r[m].Clock.Skew())), setRight)
	}
	if len(wrong) == 0 && apart > beyond {
		say(last, fmt.Sprintf("its clock is at least %s the one of %s", direction(apart), first), setRight)
	}
	return found
}

// furthestApart are the two members whose clocks are known to differ most, the one ahead last.
func (r Reports) furthestApart(members []membership.Member) (apart time.Duration, first, last membership.Member) {
	for _, a := range members {
		for _, b := range members {
			if d := r[a].Clock.aheadOf(r[b].Clock); d > apart {
				apart, first, last = d, b, a
			}
		}
	}
	return apart, first, last
}

// MaySign refuses to have certificates signed for members whose hosts' clocks are further apart than certificates are backdated: a
// host would refuse one that begins, by its own clock, only later.
func (r Reports) MaySign(members []membership.Member) error {
	wrong := r.Clocks(members, cert.Backdate)
	if len(wrong) == 0 {
		return nil
	}
	refusal := *wrong[0]
	refusal.Rule += fmt.Sprintf(", and no certificate is signed then: it begins %s before it is signed, and a host that is further behind refuses it", short(cert.Backdate))
	return &refusal
}

// direction says by how much a clock is ahead of another one, or behind it.
func direction(skew time.Duration) string {
	if skew < 0 {
		return short(-skew) + " behind"
	}
	return short(skew) + " ahead of"
}

// short is a duration without the units that are zero: 5m instead of 5m0s.
func short(d time.Duration) string {
	d = d.Truncate(time.Second)
	switch {
	case d%time.Hour == 0 && d > 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0 && d > 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
