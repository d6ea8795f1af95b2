// Package rotation decides what becomes of the authorities of a cluster when a configuration asks for new ones. It is a
// pure function of values, and handles neither keys nor certificates.
//
// A rotation has three phases. The user asks for each of them, since only the user knows when clients have followed. A
// client that has followed one phase loses nothing by the next.
package rotation

import "fmt"

// Phase is how far a rotation is to go.
type Phase string

// Phases, in their order.
const (
	Trust  Phase = "trust"  // a new authority is trusted beside the present one, which signs
	Sign   Phase = "sign"   // the new authority signs, and the old one is trusted
	Retire Phase = "retire" // the new authority alone is trusted
)

// Desired is what a configuration says. A label names a rotation; the empty one names none.
type Desired struct {
	Peers, Clients string
	Phase          Phase
}

// Recorded is how far earlier applies have come.
type Recorded struct {
	Peers   Progress `json:"peers"`
	Clients Progress `json:"clients"`
	// Imported means that nobody knows which rotations the authorities come from. An authority that was imported in the
	// middle of a rotation has that rotation's phase, and no label.
	Imported bool `json:"imported,omitempty"`
}

// Progress is how far the rotations of one authority have come.
type Progress struct {
	Done     string `json:"done,omitempty"`      // label of the last complete rotation
	UnderWay string `json:"under_way,omitempty"` // label of the rotation under way; empty: none
	Phase    Phase  `json:"phase,omitempty"`     // of the rotation under way
	Signed   bool   `json:"signed,omitempty"`    // its new authority signs, or has signed
}

// Move is what an apply does to one authority.
type Move string

// Moves. Keep is the zero Move.
const (
	Keep     Move = ""
	Begin    Move = "begin"    // make the new authority, and trust it beside the one that signs
	Switch   Move = "switch"   // the trusted authority signs from now on, and the one that signed is trusted
	Complete Move = "complete" // the old authority is dropped
	Cancel   Move = "cancel"   // the new authority is dropped, which has never signed
)

// Moves are what an apply does to both.
type Moves struct{ Peers, Clients Move }

// None tells whether both stay as they are.
func (m Moves) None() bool { return m == Moves{} }

// Changes tells whether an authority is made, or one that has never signed is dropped. The algorithm and validity of
// authorities may change then.
func (m Moves) Changes() bool {
	for _, move := range []Move{m.Peers, m.Clients} {
		if move == Begin || move == Cancel {
			return true
		}
	}
	return false
}

// Refusal says why a configuration is not followed, and what to do instead.
type Refusal struct{ Summary, Rule, Remedy string }

func (r *Refusal) Error() string { return r.Rule + ". " + r.Remedy + "." }

// Made records authorities that have just been made: they belong to the rotations that the configuration names.
func Made(d Desired) Recorded {
	return Recorded{Peers: Progress{Done: d.Peers}, Clients: Progress{Done: d.Clients}}
}

// Found records imported authorities, with the phase of the rotation that each is in the middle of; empty: of none.
func Found(peers, clients Phase) Recorded {
	// Whether the new one has signed is not known.
	in := func(phase Phase) Progress { return Progress{Phase: phase, Signed: phase != ""} }
	return Recorded{Peers: in(peers), Clients: in(clients), Imported: true}
}

// Next decides what the desired rotation does to the authorities, and what is recorded then.
func (r Recorded) Next(d Desired) (Moves, Recorded, error) {
	if r.Imported {
		return r.adopt(d)
	}
	var moves Moves
	for _, one := range []struct {
		kind, other string
		label       string
		progress    *Progress
		beside      Progress
		move        *Move
	}{
		{"peers", "clients", d.Peers, &r.Peers, r.Clients, &moves.Peers},
		{"clients", "peers", d.Clients, &r.Clients, r.Peers, &moves.Clients},
	} {
		now := *one.progress
		move, next, err := now.next(one.kind, one.label, d.Phase)
		if err != nil {
			return Moves{}, Recorded{}, err
		}
		if move == Begin && one.beside.UnderWay != "" {
			return Moves{}, Recorded{}, &Refusal{
				Summary: "A rotation is under way",
				Rule:    fmt.Sprintf("The rotation %q of the authority for %s has not come to its end, and that of the authority for %s would begin in the middle of it", one.beside.UnderWay, one.other, one.kind),
				Remedy:  fmt.Sprintf("Leave %s as it was, complete the first one (phase = %q, then %q), and begin the next one after it", one.kind, Sign, Retire),
			}
		}
		*one.move, *one.progress = move, next
	}
	return moves, r, nil
}

// adopt takes over what a configuration says of imported authorities. It rotates nothing: the configuration may be
// older than the import, and its rotations complete.
func (r Recorded) adopt(d Desired) (Moves, Recorded, error) {
	switch {
	case d.Peers == "" && d.Clients == "":
		return Moves{}, r, nil
	case r.Peers.Phase != "" || r.Clients.Phase != "":
		return r.adoptUnderWay(d)
	case d.Phase == Retire:
		return Moves{}, Made(d), nil
	}
	return Moves{}, Recorded{}, &Refusal{
		Summary: "It is not known whether these authorities are rotated already",
		Rule:    "The authorities were imported, and nothing tells whether rotation is what made them or what is to replace them",
		Remedy: fmt.Sprintf("If the members trust no other authority, set phase = %q, and apply: this notes what rotation says, and rotates nothing. "+
			"If a rotation was under way, they trust two, and would then stop trusting the one that was not imported: import both, or keep the other one in pki.trusted of the cluster until all clients have certificates of the imported one. "+
			"To rotate them, change peers or clients after that, with phase = %q", Retire, Trust),
	}
}

// adoptUnderWay takes over what a configuration says of the rotation in whose middle authorities were imported. It
// rotates nothing: the user first confirms which phase the files belong to.
func (r Recorded) adoptUnderWay(d Desired) (Moves, Recorded, error) {
	var next Recorded
	for _, one := range []struct {
		kind, label string
		found       Progress
		next        *Progress
	}{{"peers", d.Peers, r.Peers, &next.Peers}, {"clients", d.Clients, r.Clients, &next.Clients}} {
		switch {
		case one.found.Phase == "":
			*one.next = Progress{Done: one.label}
		case one.label == "":
			return Moves{}, Recorded{}, &Refusal{
				Summary: "A rotation is under way",
				Rule:    fmt.Sprintf("The authority for %s was imported together with another one that is trusted beside it, so that it is being rotated, and the configuration has no %[1]s for this rotation", one.kind),
				Remedy:  fmt.Sprintf("Set %s to the text that it had when the rotation began, or to any other one", one.kind),
			}
		case one.found.Phase != d.Phase:
			return Moves{}, Recorded{}, &Refusal{
				Summary: "The authorities were imported in another phase",
				Rule:    fmt.Sprintf("By the imported files, the rotation of the authority for %s is in phase %q, and phase is %q: an import carries no rotation on", one.kind, one.found.Phase, d.Phase),
				Remedy: fmt.Sprintf("Set phase = %q, and apply; then go on. If members have come further than that, the files are not those of the latest phase: "+
					"the pair that signs belongs into the files without -trusted. Import again with the right ones", one.found.Phase),
			}
		default:
			*one.next = one.found
			one.next.UnderWay = one.label
		}
	}
	return Moves{}, next, nil
}

// next decides about one authority.
func (p Progress) next(kind, label string, phase Phase) (Move, Progress, error) {
	switch {
	case p.UnderWay == "" && (label == "" || label == p.Done):
		return Keep, p, nil
	case p.UnderWay == "" && phase != Trust:
		return "", Progress{}, &Refusal{
			Summary: "A rotation begins with its first phase",
			Rule:    fmt.Sprintf("The rotation %q of the authority for %s begins, and phase is %q: members and clients would meet certificates that they do not trust yet", label, kind, phase),
			Remedy:  fmt.Sprintf("Set phase = %q, and apply", Trust),
		}
	case p.UnderWay == "":
		return Begin, Progress{Done: p.Done, UnderWay: label, Phase: Trust}, nil
	case label == p.UnderWay:
		return p.proceed(kind, phase)
	case label == p.Done || label == "":
		return p.cancel(kind)
	}
	return "", Progress{}, &Refusal{
		Summary: "A rotation is under way",
		Rule:    fmt.Sprintf("The rotation %q of the authority for %s has not come to its end, and rotation %q would be the second at once", p.UnderWay, kind, label),
		Remedy:  fmt.Sprintf("Set %s = %q, complete it (phase = %q, then %q), and begin the next one after it", kind, p.UnderWay, Sign, Retire),
	}
}

// proceed takes a rotation that is under way to a phase.
func (p Progress) proceed(kind string, phase Phase) (Move, Progress, error) {
	switch {
	case phase == p.Phase:
		return Keep, p, nil
	case phase == Retire && p.Phase == Trust:
		rule := fmt.Sprintf("The new authority for %s has not signed yet: without the old one, every certificate that clients hold would be refused", kind)
		if p.Signed {
			rule = fmt.Sprintf("The old authority for %s signs again: without it, every certificate that clients hold of it would be refused", kind)
		}
		return "", Progress{}, &Refusal{
			Summary: "A phase of the rotation would be omitted",
			Rule:    rule,
			Remedy:  fmt.Sprintf("Set phase = %q, and apply; give clients certificates of the new authority; then set phase = %q", Sign, Retire),
		}
	case phase == Retire:
		return Complete, Progress{Done: p.UnderWay}, nil
	}
	p.Phase, p.Signed = phase, true
	return Switch, p, nil
}

// cancel undoes a rotation whose new authority has signed nothing.
func (p Progress) cancel(kind string) (Move, Progress, error) {
	if !p.Signed {
		return Cancel, Progress{Done: p.Done}, nil
	}
	return "", Progress{}, &Refusal{
		Summary: "This rotation cannot be cancelled any more",
		Rule:    fmt.Sprintf("The new authority for %s has signed: clients may hold certificates of it, and would be refused", kind),
		Remedy: fmt.Sprintf("Set %s = %q, and go on with phase = %q, or with %q to have the old authority sign for now; once it is complete, another rotation replaces the authority once more",
			kind, p.UnderWay, Retire, Trust),
	}
}
