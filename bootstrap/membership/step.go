package membership

import "fmt"

// Kind is what a step does.
type Kind string

// Kinds of steps.
const (
	Install   Kind = "install"   // put the store on the host
	Stop      Kind = "stop"      // stop the unit
	SetAside  Kind = "set-aside" // stop the member and move its data aside
	Configure Kind = "configure" // marker, user, directories, keys, certificates, flags, unit
	Start     Kind = "start"     // start the unit
	Agree     Kind = "agree"     // wait until the members are one healthy cluster
	Settle    Kind = "settle"    // flags for a living cluster
	Retire    Kind = "retire"    // take the cluster off the host
)

// Parallel tells whether steps of this kind that stand next to each other may be done at the same
// time, each on its own host.
func (k Kind) Parallel() bool {
	switch k {
	case Install, Stop, SetAside, Configure, Start, Settle, Retire:
		return true
	}
	return false
}

// Step is one safe move of a cluster: a value, to compare and to print. Its text is what the plan
// shows, the progress log prints and errors cite.
type Step struct {
	Kind   Kind
	Member string // the member that it is done to; empty: the cluster
	At     string // the member's address
	To     string // what the kind calls for: a version, a size, a reason
}

func (s Step) String() string {
	at := s.Member + " (" + s.At + ")"
	switch s.Kind {
	case Install:
		return fmt.Sprintf("install %s: store for etcd %s", at, s.To)
	case Stop:
		return fmt.Sprintf("stop %s: %s", at, s.To)
	case SetAside:
		return fmt.Sprintf("set aside %s: %s", at, s.To)
	case Configure:
		return fmt.Sprintf("configure %s: keys made on the host, certificates, flags, unit", at)
	case Start:
		return fmt.Sprintf("start %s", at)
	case Agree:
		return "agree: " + s.To
	case Retire:
		return fmt.Sprintf("retire %s: unit stopped and disabled, %s", at, s.To)
	case Settle:
		return fmt.Sprintf("settle %s: initial-cluster-state existing", at)
	}
	return fmt.Sprintf("%s %s %s", s.Kind, at, s.To)
}

// Batch is the head of steps that may be done together: the first step alone, or, where its kind is
// parallel, it and its neighbours of the same kind.
func Batch(steps []Step) []Step {
	for i, step := range steps {
		if step.Kind != steps[0].Kind || (i > 0 && !step.Kind.Parallel()) {
			return steps[:i]
		}
	}
	return steps
}
