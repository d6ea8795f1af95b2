package providerdata

import (
	"errors"
	"slices"
	"sync"
)

// Claim is a cluster and its hosts, as a plan knows them.
type Claim struct {
	Name      string
	Addresses []string // that are known
	Owners    []string // of clusters of this name that are on the hosts
}

// same tells whether two claims are of one cluster: they have the same name, and a host or an owner in common.
func (c Claim) same(other Claim) bool {
	shares := func(a, b []string) bool {
		return slices.ContainsFunc(a, func(text string) bool { return slices.Contains(b, text) })
	}
	return c.Name == other.Name && (shares(c.Addresses, other.Addresses) || shares(c.Owners, other.Owners))
}

// Claims holds what the plans of one run destroy and create. Terraform plans resources concurrently, so each plan asks
// Claims.
type Claims struct {
	sync.Mutex
	goes, comes []Claim
}

// Destroyed notes a cluster that a plan destroys, and tells whether another plan creates it.
func (c *Claims) Destroyed(of Claim) bool {
	c.Lock()
	defer c.Unlock()
	c.goes = append(c.goes, of)
	return slices.ContainsFunc(c.comes, of.same)
}

// Created notes a cluster that a plan creates, and tells whether another plan destroys it.
func (c *Claims) Created(of Claim) bool {
	c.Lock()
	defer c.Unlock()
	c.comes = append(c.comes, of)
	return slices.ContainsFunc(c.goes, of.same)
}

// AuthorityFiles holds the files with an authority's certificate that destroyed resources have left, since others may
// name the same ca_certificate_file. If the same run destroys the authority, it deletes these files.
type AuthorityFiles struct {
	mu    sync.Mutex
	files map[string]bool
}

// Leave notes a file that a destroyed resource has left.
func (a *AuthorityFiles) Leave(file string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.files == nil {
		a.files = map[string]bool{}
	}
	a.files[file] = true
}

// Each calls do with every one of the files.
func (a *AuthorityFiles) Each(do func(file string) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var failures []error
	for file := range a.files {
		failures = append(failures, do(file))
	}
	return errors.Join(failures...)
}

// Meet notes that this run has met the state of an owner's cluster.
func (s *Data) Meet(owner string) { s.owners.Store(owner, true) }

// Holds tells whether this run has met the state of an owner's cluster.
func (s *Data) Holds(owner string) bool {
	_, met := s.owners.Load(owner)
	return met
}
