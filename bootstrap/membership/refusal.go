package membership

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Refusal says why a plan was not made or a step not taken: the rule that forbids it, and what the user can do. When
// one is returned, nothing was changed.
type Refusal struct {
	Member string // the member concerned; empty: the cluster
	At     string // its address
	Also   string // further members that the same holds of, each with its address, separated by commas
	Rule   string // what forbids it, with the arithmetic or the evidence
	Remedy string // what the user can do

	// Summary names the rule in a few words that stay the same. Every refusal of a change has one.
	Summary string
	// Waits means that a step of the plan has to wait: a warning where it is a repair.
	Waits bool
	// Outdated means that the plan no longer fits what is there: a new plan is needed.
	Outdated bool
	// Attribute is the cluster's attribute that is refused or has to change; empty: members.
	Attribute string
}

// Summaries of steps that have to wait. Guides list them, and people search for them.
const (
	NotAdded           = "A member cannot be added now"
	NotRemoved         = "A member cannot be removed now"
	NotRebuilt         = "A member cannot be built anew now"
	NotPromoted        = "A learner cannot become a voter now"
	NotRestarted       = "A member cannot be restarted now"
	NotReaddressed     = "A member cannot be re-addressed now"
	NotStarted         = "A member does not start"
	NotCleanedUp       = "A host cannot be cleaned up now"
	NotReissued        = "Certificates of another authority have to wait"
	NotToldRenewals    = "A host cannot be told now how to renew certificates"
	BeforeCertificates = "A step waits until certificates can be signed"
	StepFailed         = "A step has failed"
	CorruptStays       = "The alarm CORRUPT stays"
	NoFirewall         = "A host cannot have a firewall"
)

// HoldRestarts is the attribute that holds restarts back.
const HoldRestarts = "hold_restarts"

// HeldBack tells whether the refusal is a restart that hold_restarts holds back, rather than something that somebody
// has to fix.
func (r *Refusal) HeldBack() bool { return r.Attribute == HoldRestarts }

// StillTrusted is the summary where members go on trusting authorities that are not desired any more.
const StillTrusted = "The old authorities stay trusted"

// KeepsTrust tells whether the refusal is a removal of authorities that has to wait.
func (r *Refusal) KeepsTrust() bool { return r.Summary == StillTrusted }

// LacksCertificate is the summary where a member needs certificates that cannot be signed now.
const LacksCertificate = "A member needs certificates that cannot be signed"

// UnknownRenewals is the summary where nobody knows how a host renews certificates by itself.
const UnknownRenewals = "How a host renews certificates is not known"

// LeavesRenewals tells whether the refusal is such a host, which keeps no change from being complete that leaves its
// renewals as they are.
func (r *Refusal) LeavesRenewals() bool { return r.Summary == UnknownRenewals }

// NotExchangeable is the summary where a member needs a certificate, and no authority that the others trust can sign
// it.
const NotExchangeable = "The authorities cannot be exchanged yet"

// BeforeJoins is the summary where something waits until the members that a recovery gives up have joined again.
const BeforeJoins = "A step waits until members have joined again"

// WaitsForJoins tells whether the refusal is something that waits until members have joined again.
func (r *Refusal) WaitsForJoins() bool { return r.Summary == BeforeJoins }

// StillAlarmed is the summary where only a member that does not serve could disarm its alarm.
const StillAlarmed = "An alarm stays raised"

// StaysAlarmed tells whether the refusal is such an alarm, which keeps no change from being complete.
func (r *Refusal) StaysAlarmed() bool { return r.Summary == StillAlarmed }

func (r *Refusal) Error() string {
	var b strings.Builder
	if r.Member != "" {
		b.WriteString(r.Member)
		if r.At != "" {
			b.WriteString(" (" + r.At + ")")
		}
		if r.Also != "" {
			b.WriteString(", " + r.Also)
		}
		b.WriteString(": ")
	}
	b.WriteString(r.Rule)
	if r.Remedy != "" {
		b.WriteString("; " + r.Remedy)
	}
	return b.String()
}

// Short is the text of a duration without the units that are zero: 5m instead of 5m0s.
func Short(d time.Duration) string {
	d = d.Truncate(time.Second)
	switch {
	case d%time.Hour == 0 && d > 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0 && d > 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// JoinRefusals returns refusals as one error, which says once what holds of several members. Its order is that of the
// first of each.
func JoinRefusals(refusals ...error) error {
	var joined []error
	seen := map[Refusal]*Refusal{}
	for _, err := range refusals {
		r, is := err.(*Refusal) // one that is wrapped says more
		if !is || r.Member == "" {
			joined = append(joined, err)
			continue
		}
		same := *r
		same.Member, same.At, same.Also = "", "", ""
		if first := seen[same]; first != nil {
			name := r.Member
			if r.At != "" {
				name += " (" + r.At + ")"
			}
			first.Also = strings.TrimPrefix(first.Also+", "+name, ", ")
			continue
		}
		first := *r
		seen[same], joined = &first, append(joined, &first)
	}
	return errors.Join(joined...)
}
