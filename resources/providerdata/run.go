package providerdata

import (
	"errors"
	"slices"
	"sync"
)

// Claim is a cluster on its hosts, as a plan has it.
type Claim struct {
	Name      string
	Addresses []string // that are known
	Owners    []string // of clusters of this name that are on the hosts
}

// same tells whether two claims are of one cluster: it has the same name on a host of both.
func (c Claim) same(other Claim) bool {
	shares := func(a, b []string) bool {
		return slices.ContainsFunc(a, func(text string) bool { return slices.Contains(b, text) })
	}
	return c.Name == other.Name && (shares(c.Addresses, other.Addresses) || shares(c.Owners, other.Owners))
}

// Claims are what the plans of one run destroy and create. Terraform makes plans side by side, so that each plan asks the others.
type Claims struct {
	sync.Mutex
	goes, comes []Claim
}

// Destroyed notes a cluster that is destroyed, and tells whether it is created too.
func (c *Claims) Destroyed(of Claim) bool {
	c.Lock()
	defer c.Unlock()
	c.goes = append(c.goes, of)
	return slices.ContainsFunc(c.comes, of.same)
}

// Created notes a cluster that is created, and tells whether it is destroyed too.
func (c *Claims) Created(of Claim) bool {
	c.Lock()
	defer c.Unlock()
	c.comes = append(c.comes, of)
	return slices.ContainsFunc(c.goes, of.same)
}

// AuthorityFiles are the files with the certificate of an authority that resources which are gone have left: others may have the
// same one as ca_certificate_file. They go with the authority, where that is destroyed by the same run.
type AuthorityFiles struct {
	mu    sync.Mutex
	files map[string]bool
}

// Leave leaves a file to others.
func (a *AuthorityFiles) Leave(file string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.files == nil {
		a.files = map[string]bool{}
	}
	a.files[file] = true
}

// Each does something with every one of the files.
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
