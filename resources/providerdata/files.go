package providerdata

import "sync"

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

// Files are the uses that the plans of one run make of files. Terraform makes plans side by side and tells no resource of the
// others, so that each plan asks.
type Files struct {
	mu   sync.Mutex
	uses []FileUse
}

// Use notes a use, and returns that of another resource which it does not go together with; nil: there is none.
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
			// Terraform plans a resource that it replaces twice, the second time as if it had no state.
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

// agrees tells whether two resources may use one file.
func (u FileUse) agrees(other FileUse) bool {
	switch {
	case u.Goes && other.Goes:
		return true
	case u.Shared != "" && u.Shared == other.Shared:
		return true
	}
	return !u.Writes && !other.Writes
}
