package load

import "time"

// All times of records are since the start of the process that recorded them, by its monotonic clock.

// Outcome is how a put ended.
type Outcome string

const (
	Acknowledged Outcome = "acknowledged"
	Refused      Outcome = "refused" // failed, and surely not done
	Unknown      Outcome = "unknown" // failed, and may have been done
)

// Put is one put.
type Put struct {
	Sequence int           `json:"sequence"` // from 1, in the order of starts; names the key
	Mode     Mode          `json:"mode"`
	Endpoint string        `json:"endpoint"` // its client's; in mode Balanced the last one it was sent to
	Outcome  Outcome       `json:"outcome"`
	Revision int64         `json:"revision,omitempty"` // that was acknowledged
	Error    string        `json:"error,omitempty"`
	Start    time.Duration `json:"start"`
	End      time.Duration `json:"end"`
}

// Ended says that a writer starts no more puts.
type Ended struct {
	Mode Mode          `json:"mode"`
	Held int           `json:"held"` // puts that the rate asked for and InFlight did not let through
	At   time.Duration `json:"at"`
}

// Mark begins a phase.
type Mark struct {
	Name string        `json:"name"`
	At   time.Duration `json:"at"`
}

// Stall is a time in which the disk of this machine, which the members share, took nothing: a file of our own beside
// theirs was not synced for all of it.
type Stall struct {
	From time.Duration `json:"from"`
	To   time.Duration `json:"to"`
}

// Member is an entry of the member list.
type Member struct {
	ID         string   `json:"id"`   // hexadecimal
	Name       string   `json:"name"` // empty: it has not started yet
	Learner    bool     `json:"learner"`
	ClientURLs []string `json:"client_urls"`
}

// Configuration is a membership that a linearizable read showed first.
type Configuration struct {
	Before  time.Duration `json:"before"` // start of the last read that showed the one before
	At      time.Duration `json:"at"`     // end of the first read that showed this one
	Members []Member      `json:"members"`
}

// View is a member's own, local view of the list, recorded where it has changed.
type View struct {
	At       time.Duration `json:"at"`
	Endpoint string        `json:"endpoint"`
	Member   string        `json:"member"`
	Members  []Member      `json:"members"`
}

// Probe is a question to a member.
type Probe struct {
	Read     bool          `json:"read"` // a linearizable read; else its status
	Endpoint string        `json:"endpoint"`
	Start    time.Duration `json:"start"` // when it was sent
	End      time.Duration `json:"end"`
	Error    string        `json:"error,omitempty"`
	Member   string        `json:"member,omitempty"` // that answered
	Revision int64         `json:"revision,omitempty"`
	Leader   string        `json:"leader,omitempty"`  // status alone; empty: none
	Term     uint64        `json:"term,omitempty"`    // status alone
	Learner  bool          `json:"learner,omitempty"` // status alone: it takes itself for one
}

// Move is a leadership moved by the instrument itself.
type Move struct {
	From  string        `json:"from"`
	To    string        `json:"to"`
	Start time.Duration `json:"start"`
	End   time.Duration `json:"end"`
}

// entry is a key as it was read back.
type entry struct {
	Endpoint string `json:"endpoint"`
	Sequence int    `json:"sequence"`
	Revision int64  `json:"revision"`
	Version  int64  `json:"version"`
	Intact   bool   `json:"intact"` // the value is what was put
}

// task is the first line that the process is sent: what it is there for.
type task struct {
	Config Config `json:"config"`
	ID     string `json:"id"`   // of the run, in all of its keys
	Read   bool   `json:"read"` // read everything back, and end
}

// order is a further line that the process is sent.
type order struct {
	Mark      string   `json:"mark,omitempty"`
	Endpoints []string `json:"endpoints,omitempty"`
	Moves     int      `json:"moves,omitempty"` // of the leadership
	Stop      bool     `json:"stop,omitempty"`
}

// answer is a line that the process sends: one of its fields is set.
type answer struct {
	Put           *Put           `json:"put,omitempty"`
	Ended         *Ended         `json:"ended,omitempty"`
	Mark          *Mark          `json:"mark,omitempty"`
	Configuration *Configuration `json:"configuration,omitempty"`
	View          *View          `json:"view,omitempty"`
	Probe         *Probe         `json:"probe,omitempty"`
	Move          *Move          `json:"move,omitempty"`
	Stall         *Stall         `json:"stall,omitempty"`
	Entry         *entry         `json:"entry,omitempty"`
	Done          *done          `json:"done,omitempty"`
}

// done says that an order, or all of the task, has been carried out.
type done struct {
	Order string        `json:"order"` // ready, endpoints, moves, stop
	Error string        `json:"error,omitempty"`
	At    time.Duration `json:"at"`
}
