package providerdata

import (
	"slices"
	"sync"
)

// FileUse is what the plan of a resource does with a file of the machine that Terraform runs on.
type FileUse struct {
	Place string // where the file lies, however its path is written
	By    string // the resource, as texts name it
	ID    string // tells the resource from all others; empty: it has no state yet
	Asks  string // all that its configuration says

	Writes bool   // it makes the file or writes to it; else it only reads
	Goes   bool   // it is destroyed, and the file with it
	Shared string // what several resources may write there alike; empty: nothing
}

// Files holds the uses that the plans of one run make of files. Terraform plans resources concurrently and tells none
// of the others, so each plan asks Files.
type Files struct {
	mu   sync.Mutex
	uses []FileUse
}

// Use notes a use, and returns another resource's use that conflicts with it, or nil.
func (f *Files) Use(use FileUse) *FileUse {
	f.mu.Lock()
	defer f.mu.Unlock()
	var other *FileUse
	for i := range f.uses {
		u := &f.uses[i]
		switch {
		case u.Place != use.Place:
		case u.ID == use.ID && use.ID != "":
		case u.ID != "" && use.ID == "" && u.Asks == use.Asks && !u.Goes:
			// Terraform plans a replaced resource twice, the second time as if it had no state.
			u.ID = ""
			return nil
		case other == nil && !u.agrees(use):
			other = u
		}
	}
	f.uses = append(f.uses, use)
	if other == nil {
		return nil
	}
	found := *other
	return &found
}

// Leave removes the file of a destroyed resource, unless another resource of this run uses the file and stays. An apply
// plans each resource anew before it creates or changes it, so a resource that comes to the file later finds the file
// missing.
func (f *Files) Leave(place, id string, remove func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.ContainsFunc(f.uses, func(u FileUse) bool { return u.Place == place && !u.Goes && (u.ID == "" || u.ID != id) }) {
		return nil
	}
	return remove()
}

// agrees tells whether two resources may use one file.
func (u FileUse) agrees(other FileUse) bool {
	switch {
	case u.Goes && other.Goes:
		return true
	case (u.Goes || other.Goes) && u.ID+other.ID != "" && (u.ID == "" || other.ID == "") && u.Asks == other.Asks:
		// A replacement is created before this one goes, or it was renamed: Leave leaves the file to the new one.
		return true
	case u.Shared != "" && u.Shared == other.Shared:
		return true
	}
	return !u.Writes && !other.Writes
}
