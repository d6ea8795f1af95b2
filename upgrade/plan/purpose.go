package plan

import "github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"

// Purpose is what a plan is for, in the schema's words. Automation that runs with nobody watching applies repairs, and
// leaves everything else to a human.
type Purpose string

// The purposes of plans, from the least to the gravest.
const (
	PurposeNone     Purpose = "none"     // no host is changed, and the configuration asks for nothing new
	PurposeRepair   Purpose = "repair"   // hosts are brought back to what was applied last
	PurposeCreate   Purpose = "create"   // a new cluster is formed, with no data
	PurposeChange   Purpose = "change"   // the configuration asks for something else than was applied last
	PurposeRestore  Purpose = "restore"  // the data is replaced by that of a snapshot, or what was there before is put back
	PurposeRecovery Purpose = "recovery" // one survivor overwrites a cluster that has lost its quorum
)

// Purposes are all of them.
var Purposes = []Purpose{PurposeNone, PurposeRepair, PurposeCreate, PurposeChange, PurposeRestore, PurposeRecovery}

// Asked is what a configuration asks for beyond what was applied last.
type Asked struct {
	Create  bool // there is no cluster yet
	Change  bool // anything that a configuration can say is said differently, what concerns no host included
	Restore bool // a snapshot is to be restored, or a restore to be undone
}

// For is what a plan is for whose steps are these. A plan that repairs and changes at once counts as a change: who
// approves repairs has not seen the change.
func (asked Asked) For(steps []membership.Step) Purpose {
	purpose := PurposeNone
	for _, step := range steps {
		switch step.Kind {
		case membership.Recover:
			return PurposeRecovery
		case membership.Fetch, membership.Fence, membership.Restore, membership.Open, membership.TakeBack:
			return PurposeRestore
		case membership.Downgrade: // the storage of all members changes its format: no drift takes that
			asked.Change = true
		}
		purpose = PurposeRepair
	}
	switch {
	case asked.Restore:
		return PurposeRestore
	case asked.Create:
		return PurposeCreate
	case asked.Change:
		return PurposeChange
	}
	return purpose
}
