package providerdata

import "sync"

// Snapshots holds the snapshot files that this run has found as states describe them. Terraform plans a resource that
// is replaced as if it had no state, and its file is then the one that the replacement renames.
type Snapshots struct{ files sync.Map }

// Found notes the SHA-256 of a snapshot's file; empty: the file is not as the state describes it.
func (s *Snapshots) Found(file, sum string) { s.files.Store(file, sum) }

// SHA256 returns what was noted of a file last.
func (s *Snapshots) SHA256(file string) string {
	sum, _ := s.files.Load(file)
	text, _ := sum.(string)
	return text
}
