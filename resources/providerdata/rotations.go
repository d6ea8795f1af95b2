package providerdata

import (
	"slices"
	"sync"
)

// Rotation is how the plan of an etcd_pki moves one of its authorities. Authorities are named as in package cert.
type Rotation struct {
	Of    string // the name of the etcd_pki
	Peers bool   // of the authority for peers; else of the one for clients
	Signs string // the authority that signs from then on
	Goes  string // the one whose key and trust are given up; empty: none
	Was   string // what rotation says as long as members follow the phase before: phase = "trust"
}

// Rotations holds the rotations that the plans of one run make. Terraform plans an etcd_pki before the clusters that
// take their authorities from it.
type Rotations struct {
	mu      sync.Mutex
	planned []Rotation
}

// Plan notes a rotation.
func (r *Rotations) Plan(rotation Rotation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.planned, rotation) {
		r.planned = append(r.planned, rotation)
	}
}

// Planned returns all of them.
func (r *Rotations) Planned() []Rotation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.planned)
}
