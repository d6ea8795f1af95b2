package membership

import "strings"

// Refusal is why a plan was not made or a step not taken: the rule that forbids it, and what the
// user can do. Nothing has been changed when one is returned.
type Refusal struct {
	Member string // the member that it is about; empty: the cluster
	At     string // its address
	Rule   string // what forbids it, with the arithmetic or the evidence
	Remedy string // the way on

	// Summary says which rule it is, in a few words that stay the same; empty: the rule is told by Rule alone.
	Summary string
	// Outdated is true where the plan was made from what is not so any more: only another plan goes on from there.
	Outdated bool
	// Attribute is the one of the cluster that is to be changed, or says what is refused; empty: members.
	Attribute string
}

// HoldRestarts is the attribute by which restarts are held back.
const HoldRestarts = "hold_restarts"

// Held tells whether it is a restart that the configuration holds back, and nothing that somebody has to fix.
func (r *Refusal) Held() bool { return r.Attribute == HoldRestarts }

func (r *Refusal) Error() string {
	var b strings.Builder
	if r.Member != "" {
		b.WriteString(r.Member)
		if r.At != "" {
			b.WriteString(" (" + r.At + ")")
		}
		b.WriteString(": ")
	}
	b.WriteString(r.Rule)
	if r.Remedy != "" {
		b.WriteString("; " + r.Remedy)
	}
	return b.String()
}
