package providerdata

import "sync"

// Ephemeral holds the authorities that ephemeral resources of this run have made, by their names (cert.Name). A run
// that plans and one that applies each make others.
type Ephemeral struct{ made sync.Map }

// Make notes an authority.
func (e *Ephemeral) Make(name string) { e.made.Store(name, true) }

// Made tells whether an ephemeral resource of this run has made an authority.
func (e *Ephemeral) Made(name string) bool {
	_, made := e.made.Load(name)
	return made
}
