package providerdata

import "sync"

// Ephemeral are the authorities that ephemeral resources of this run have made, by the names that package cert gives them. A run that
// plans and one that applies each make their own.
type Ephemeral struct{ made sync.Map }

// Make notes an authority.
func (e *Ephemeral) Make(name string) { e.made.Store(name, true) }

// Made tells whether an authority is one of them.
func (e *Ephemeral) Made(name string) bool {
	_, made := e.made.Load(name)
	return made
}
