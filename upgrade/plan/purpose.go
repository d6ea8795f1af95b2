package plan

import "github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"

// Purpose says what a plan is for, in the schema's words. Unattended automation applies repairs and leaves everything
// else to a human.
type Purpose string

// The purposes of plans, from the least to the gravest.
const (
	PurposeNone     Purpose = "none"     // no host is changed, and the configuration asks for nothing new
	PurposeRepair   Purpose = "repair"   // hosts are brought back to what was applied last
	PurposeCreate   Purpose = "create"   // a new cluster is formed, with no data
	PurposeChange   Purpose = "change"   // the configuration asks for something else than was applied last
	PurposeRestore  Purpose = "restore"  // the data is replaced by that of a snapshot, or such a restore is undone
	PurposeRecovery Purpose = "recovery" // one survivor overwrites a cluster that has lost its quorum
)

// Purposes lists all purposes.
var Purposes = []Purpose{PurposeNone, PurposeRepair, PurposeCreate, PurposeChange, PurposeRestore, PurposeRecovery}

// Asked says what a configuration asks for beyond what was applied last.
type Asked struct {
	Create  bool // there is no cluster yet
	Change  bool // any other difference of the configuration, including one that concerns no host
	Chains  bool // an authority has another chain than at the last apply, and steps may lay it down
	Waits   bool // hosts are not what was applied last, and no step mends that yet
	Restore bool // a snapshot is to be restored, or a restore to be undone
}

// For returns the purpose of a plan with these steps. A plan that both repairs and changes counts as a change: an
// approval of repairs does not cover the change.
func (asked Asked) For(steps []membership.Step) Purpose {
	purpose := PurposeNone
	if asked.Waits {
		purpose = PurposeRepair
	}
	for _, step := range steps {
		switch step.Kind {
		case membership.Recover:
			return PurposeRecovery
		case membership.Fetch, membership.Fence, membership.Restore, membership.Open, membership.RollBack:
			return PurposeRestore
		case membership.Downgrade: // it changes the storage format of all members, which no repair needs
			asked.Change = true
		}
		purpose = PurposeRepair
		asked.Change = asked.Change || asked.Chains
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
